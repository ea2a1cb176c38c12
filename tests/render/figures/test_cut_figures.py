"""Figures that cannot show all data state what they skip."""

from collections import Counter
from types import SimpleNamespace

from netprobe.analysis.locality import Group, Matrix, Member, ThreadMatrix
from netprobe.analysis.switches import SwitchRow
from netprobe.render.figures import locality, reuseport, switches


def test_cpus_that_are_not_in_the_map():
    cells = Counter({(cpu, cpu): 1000 - cpu for cpu in range(128)})
    context = SimpleNamespace(thread_matrices=[ThreadMatrix(1, 1, "server", "worker", Matrix(cells))])
    layout = locality.draw(context).layout
    assert "the 64 busiest of 128 CPUs" in layout.xaxis.title.text
    assert layout.yaxis.ticktext == layout.xaxis.ticktext == tuple(str(cpu) for cpu in range(0, 64, 4))


def test_listeners_that_are_not_in_the_diagram():
    def member(index, result):
        return Member(index, "1", (), (index,), result, "", None, "", None)

    members = tuple(member(index, "wrong" if index < 128 else "right") for index in range(300))
    group = Group("tcp", "0.0.0.0", 80, False, 300, "cbpf", "by CPU", None, False, members)
    notes = [note.text for note in reuseport.draw(SimpleNamespace(groups=[group])).layout.annotations]
    assert "and 252 more listeners, of these 80 wrong, 172 right" in notes


def test_threads_that_are_not_in_the_map():
    rows = [SwitchRow("server", f"worker-{number}", {(1, number)}, 10, 0, Counter({0: 10})) for number in range(20)]
    context = SimpleNamespace(switches=rows, switches_by_thread=rows, run=SimpleNamespace(seconds=2.0))
    layout = switches.draw(context).layout
    assert layout.annotations[-1].text == "and 4 more threads, with 20.0 % of the switches"
    assert layout.xaxis.title.text == "preempted by, times per second"
