"""flush-batched: call paths of the sends compared with those of the receives."""

from netprobe.rules.finding import Inconclusive, Pass, Severity


def text(finding):
    return " | ".join([finding.summary, *(fact.text for fact in finding.evidence), finding.fix])


def loop(world, send: str, receive: str = "handle;on_read;k:__sys_recvfrom;k:tcp_recvmsg"):
    """`serve` is the loop: it waits, and calls the functions that receive and send."""
    world.stacks.clear()
    for thread in ("reactor-0", "reactor-1"):
        world.sample(thread, "wait;k:do_epoll_wait;k:ep_poll", 100)
        world.sample(thread, receive, 100)
        world.sample(thread, send, 200)
    return world


def test_responses_sent_at_the_end_of_the_iteration(world):
    found = loop(world, "flush_all;write_out;k:__sys_sendto;k:tcp_sendmsg").finding("flush-batched")
    assert found.summary.startswith("Responses are queued and sent later by flush_all")
    assert found.severity is Severity.NOTE
    assert "400 of 400 samples in tcp_sendmsg are below flush_all, which serve calls in addition to handle" in text(
        found
    )
    assert "1.00 send calls per message" in text(found)


def test_responses_sent_where_requests_are_handled_pass(world):
    assert isinstance(loop(world, "handle;answer;k:__sys_sendto;k:tcp_sendmsg").result("flush-batched"), Pass)


def test_a_tail_call_passes(world):
    """After a tail call `answer` replaces `handle`: one function below the loop is no sign of a queue."""
    assert isinstance(loop(world, "answer;k:__sys_sendto;k:tcp_sendmsg").result("flush-batched"), Pass)


def test_several_responses_in_one_call_pass(world):
    """Queuing that saves calls is useful."""
    loop(world, "flush_all;write_out;k:__sys_sendto;k:tcp_sendmsg")
    for thread in ("reactor-0", "reactor-1"):
        world.drop("syscalls", thread=thread).call(thread, "recvfrom", 200_000).call(thread, "sendto", 20_000)
    assert isinstance(world.result("flush-batched"), Pass)


def test_a_c_library_without_frame_pointers_is_inconclusive(world):
    world.stacks.clear()
    for thread in ("reactor-0", "reactor-1"):
        for kernel in ("k:tcp_recvmsg", "k:tcp_sendmsg", "k:ep_poll"):
            world.stacks[thread, ("libc_call", kernel)] += 100
    result = world.result("flush-batched")
    assert isinstance(result, Inconclusive)
    assert "0 of 200 do" in result.reason


def test_an_interpreter_passes(world):
    """All functions of the program are below one function of the interpreter."""
    below = "_PyEval_EvalFrameDefault"
    loop(world, f"{below};method_call;sock_send;k:tcp_sendmsg", f"{below};method_call_2;sock_recv;k:tcp_recvmsg")
    for thread in ("reactor-0", "reactor-1"):
        world.sample(thread, f"{below};select_poll;k:ep_poll", 100)
    assert isinstance(world.result("flush-batched"), Pass)


def test_few_samples_pass(world):
    world.stacks.clear()
    world.balanced("reactor-0", 1_000).sample("reactor-0", "flush_all;write_out;k:tcp_sendmsg", 19)
    assert isinstance(world.result("flush-batched"), Pass)
