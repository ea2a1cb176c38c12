"""Stacks: a dominant function, mitigations, kernel hooks, and unsymbolized frames."""

import pytest

from netprobe.rules.finding import Inconclusive, Pass, Severity


def text(finding):
    return " | ".join([finding.summary, *(fact.text for fact in finding.evidence), finding.fix])


PROFILE_CODES = ("hot-frame", "kernel-hooks", "mitigation-cost", "unknown-frames")


@pytest.mark.parametrize("code", PROFILE_CODES)
def test_too_few_samples_are_inconclusive(world, code):
    world.stacks.clear()
    result = world.balanced("reactor-0", 50).result(code)
    assert isinstance(result, Pass)
    world.stacks.clear()
    world.sample("reactor-0", "busy", 49)
    result = world.result(code)
    assert isinstance(result, Inconclusive)
    assert "has 49" in result.reason


@pytest.mark.parametrize("code", PROFILE_CODES)
def test_no_samples_are_inconclusive(world, code):
    world.stacks.clear()
    assert isinstance(world.result(code), Inconclusive)


# ---- hot-frame ----


def test_a_dominant_function_of_the_program(world):
    world.sample("reactor-0", "handle;parse", 1_400)
    assert world.codes() == ["hot-frame"]
    found = world.finding("hot-frame")
    assert found.summary.startswith("parse (/usr/bin/web) takes 50 % of the server's time")
    assert "called from handle ← serve ← start_thread" in text(found)
    assert found.cost_pct == pytest.approx(45)
    assert found.severity is Severity.MAJOR


def test_a_dominant_function_with_helpers(world):
    """No single function of them is hot."""
    for helper in ("checksum;add", "checksum;fold", "checksum"):
        world.sample("reactor-0", f"handle;{helper}", 400)
    found = world.finding("hot-frame")
    assert found.summary.startswith("checksum (/usr/bin/web) takes 46 %")


def test_a_loop_with_balanced_callees_passes(world):
    """A balanced poll loop: receive, work and send, and no self time."""
    for name, samples in (("recv_burst", 900), ("work", 1_200), ("send_burst", 600)):
        world.sample("reactor-0", f"poll_once;{name}", samples)
    assert world.codes() == []
    world.sample("reactor-0", "poll_once", 600)
    assert world.codes() == []
    # From a self share of a fifth on it is a function with helpers.
    world.sample("reactor-0", "poll_once", 200)
    assert world.finding("hot-frame").summary.startswith("poll_once (/usr/bin/web) takes 71 %")


def test_a_dispatcher_passes(world):
    """The same share, divided among fifty functions."""
    for number in range(50):
        world.sample("reactor-0", f"dispatch;handler_{number}", 28)
    assert world.codes() == []


def test_a_dominant_function_of_the_kernel(world):
    way = "send;k:do_syscall_64;k:__sys_sendto;k:dev_queue_xmit;k:eth_ena_xmit_pkts"
    found = world.sample("reactor-0", way, 1_600).finding("hot-frame")
    assert found.summary.startswith("eth_ena_xmit_pkts (the kernel) takes 53 %")


@pytest.mark.parametrize(("samples", "hot"), [(580, False), (620, True)])
def test_a_function_is_reported_from_thirty_percent(world, samples, hot):
    assert (world.sample("reactor-0", "handle;parse", samples).codes() == ["hot-frame"]) is hot


@pytest.mark.parametrize(("samples", "others", "hot"), [(32, 68, False), (36, 64, True)])
def test_few_samples_need_a_larger_share(world, samples, others, hot):
    world.stacks.clear()
    for number in range(others):
        world.sample("reactor-0", f"dispatch;handler_{number}", 1)
    assert (world.sample("reactor-0", "handle;parse", samples).codes() == ["hot-frame"]) is hot


@pytest.mark.parametrize("event", ["cpu-clock", "cycles"])
def test_functions_that_enable_interrupts(world, event):
    world.event = event
    world.sample("reactor-0", "send;k:do_syscall_64;k:handle_softirqs", 2_000)
    assert (world.codes() == ["hot-frame"]) is (event == "cycles")


def test_waiting_is_not_counted(world):
    world.sample("reactor-0", "epoll_wait;k:do_syscall_64;k:__x64_sys_epoll_wait;k:napi_busy_loop;k:poll_card", 9_000)
    assert world.codes() == []


@pytest.mark.parametrize(("timeout", "codes"), [("zero", ["epoll-zero-timeout"]), ("infinite", ["hot-frame"])])
def test_a_loop_with_zero_timeouts_is_another_finding(world, timeout, codes):
    """The time of the loop is explained by the timeout; a blocking loop is evaluated like any function."""
    world.call("reactor-0", "epoll_wait", 900_000, **{timeout: 900_000})
    world.sample("reactor-0", "ask", 1_600)
    world.sample("reactor-0", "ask;k:do_syscall_64;k:__x64_sys_epoll_wait;k:ep_poll", 900)
    found = [code for code in world.codes() if code in ("hot-frame", "epoll-zero-timeout")]
    assert found == codes


def test_programs_of_netprobe_are_not_counted(world):
    way = "send;k:do_syscall_64;k:tcp_probe;k:bpf_trace_run3;k:bpf_prog_0123_on_read"
    assert world.sample("reactor-0", way, 9_000).codes() == []


def test_other_bpf_programs_are_counted(world):
    world.sample("reactor-0", "send;k:do_syscall_64;k:bpf_prog_0123_xdp_filter", 1_600)
    assert world.codes() == ["hot-frame"]


def test_recursion_counts_once(world):
    world.sample("reactor-0", "walk;walk;walk", 1_400)
    assert world.finding("hot-frame").evidence[0].value == pytest.approx(50)


# ---- mitigation-cost ----


def test_return_and_branch_thunks(world):
    world.sample("reactor-0", "send;k:do_syscall_64;k:srso_return_thunk", 60)
    world.sample("reactor-0", "send;k:do_syscall_64;k:__x86_indirect_thunk_rax", 60)
    world.boot = "quiet mitigations=auto,nosmt"
    assert world.codes() == ["mitigation-cost"]
    found = world.finding("mitigation-cost")
    assert "srso_return_thunk: 3.9 % of the samples" in text(found)
    assert "mitigations=auto,nosmt" in text(found)
    assert "a lower bound" in text(found)
    assert found.cost_pct == pytest.approx(100 * 120 / 1520)


@pytest.mark.parametrize(("samples", "found"), [(40, False), (46, True)])
def test_mitigations_are_reported_from_three_percent(world, samples, found):
    world.sample("reactor-0", "send;k:entry_untrain_ret", samples)
    assert (world.codes() == ["mitigation-cost"]) is found


@pytest.mark.parametrize(("event", "found"), [("cycles", True), ("cpu-clock", False)])
def test_kernel_entry_counts_with_cycles_only(world, event, found):
    world.event = event
    world.sample("reactor-0", "send;k:entry_SYSCALL_64_after_hwframe", 200)
    assert ("mitigation-cost" in world.codes()) is found
    if found:
        assert world.finding("mitigation-cost").cost_pct == pytest.approx(100 * 200 / 1600 - 3)


def test_similar_names_are_not_mitigations(world):
    for name in ("entry_point", "srsomething", "retbleed", "its_a_function", "zen_mode"):
        world.sample("reactor-0", f"send;k:{name}", 60)
    assert isinstance(world.result("mitigation-cost"), Pass)


def test_user_functions_are_not_mitigations(world):
    world.sample("reactor-0", "send;srso_return_thunk", 100)
    assert isinstance(world.result("mitigation-cost"), Pass)


# ---- kernel-hooks ----


@pytest.mark.parametrize(
    ("way", "kind", "fix"),
    [
        ("k:ip_local_deliver;k:nf_hook_slow;k:nft_do_chain_ipv4;k:nft_do_chain", "netfilter", "nft list ruleset"),
        ("k:ip_rcv;k:nf_hook_slow;k:ipt_do_table", "netfilter", "nft list ruleset"),
        ("k:do_syscall_64;k:syscall_trace_enter;k:__audit_syscall_entry", "auditing", "auditctl"),
        ("k:dev_hard_start_xmit;k:dev_queue_xmit_nit;k:tpacket_rcv", "packet taps", "ss -0pb"),
    ],
)
def test_a_kind_of_hook(world, way, kind, fix):
    assert world.sample("reactor-0", f"send;{way}", 60).codes() == ["kernel-hooks"]
    found = world.finding("kernel-hooks")
    assert found.summary.startswith(kind.capitalize())
    assert fix in found.fix
    assert found.cost_pct == pytest.approx(100 * 60 / 1460)


def test_nested_hooks_count_once(world):
    found = world.sample("reactor-0", "send;k:nf_hook_slow;k:nf_hook_slow;k:nft_do_chain", 60).finding("kernel-hooks")
    assert found.cost_pct == pytest.approx(100 * 60 / 1460)


def test_several_kinds_of_hooks(world):
    world.sample("reactor-0", "send;k:nf_hook_slow", 60).sample("reactor-0", "send;k:packet_rcv", 30)
    found = world.finding("kernel-hooks")
    assert found.summary.startswith("Netfilter, packet taps take 6.0 %")
    assert "ss -0pb" in found.fix


def test_traced_calls_without_auditing_pass(world):
    """The tracepoint of netprobe makes the kernel take this path."""
    world.sample("reactor-0", "send;k:do_syscall_64;k:syscall_trace_enter", 60)
    assert world.codes() == []


@pytest.mark.parametrize(("samples", "found"), [(13, False), (15, True)])
def test_hooks_are_reported_from_one_percent(world, samples, found):
    assert (world.sample("reactor-0", "send;k:nf_hook_slow", samples).codes() == ["kernel-hooks"]) is found


# ---- unknown-frames ----


@pytest.mark.parametrize(("samples", "found"), [(240, False), (255, True)])
def test_unsymbolized_samples(world, samples, found):
    # The share of each name is too small for hot-frame.
    world.sample("reactor-0", "u:/usr/lib/libstripped.so", samples)
    assert (world.codes() == ["unknown-frames"]) is found
    if found:
        result = world.finding("unknown-frames")
        assert "most of it in /usr/lib/libstripped.so" in result.summary
        assert result.severity is Severity.NOTE


def test_unsymbolized_samples_without_a_file(world):
    result = world.sample("reactor-0", "u:", 300).finding("unknown-frames")
    assert "memory without a file" in result.summary
