"""The SVG as a file: strict XML, a count of skipped frames, a picture without its script."""

import re
import xml.etree.ElementTree as ET

import pytest

from flamegraph.builder import Builder
from flamegraph.diff import diff
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info
from flamegraph.writers import WriteOptions, svg

# Left and right margin of the picture together.
MARGINS = 24
NS = "{http://www.w3.org/2000/svg}"


def profile_of(rows, info=None):
    builder = Builder()
    for text, weight in rows.items():
        frames = [builder.frame(Frame(name, "", Kind.KERNEL if name.startswith("k") else Kind.USER)) for name in text]
        builder.add(builder.stack(frames), builder.thread(Thread(1, 1, "t")), count=weight, weight=weight)
    return builder.profile(info or Info("cycles", "samples", 2.0))


PLAIN = profile_of({("main", "left"): 600, ("main", "kright"): 398, ("main", "tiny"): 2})


def drawn(profile, **options):
    """The document and its frames: name -> x, y, width, label, class."""
    root = ET.fromstring(svg.render(profile, WriteOptions(**({"root": "none"} | options))))
    frames = {}
    for group in root.find(f"{NS}g[@id='frames']"):
        rect, label = group.find(f"{NS}rect"), group.find(f"{NS}text")
        name = group.find(f"{NS}title").text.split("\n")[0]
        place = [float(rect.get(key)) for key in ("x", "y", "width")]
        frames[name] = (*place, "" if label is None else label.text, group.get("class"))
    return root, frames


def texts(root):
    return " ".join(element.text or "" for element in root.iter(f"{NS}text"))


def test_width_is_proportional_to_weight():
    root, frames = drawn(PLAIN, width=1000 + MARGINS)
    assert [frames[name][2] for name in ("all", "main", "left", "kright", "tiny")] == [1000, 1000, 600, 398, 2]
    assert frames["left"][0] == frames["kright"][0] + 398, "in the order of the names"
    assert frames["all"][1] > frames["main"][1] > frames["left"][1]
    assert frames["left"][3] == "left"
    assert root.get("width") == "1024"


def test_inverted_has_the_root_on_top():
    _, frames = drawn(PLAIN, inverted=True)
    assert frames["all"][1] < frames["main"][1] < frames["left"][1]


def test_reversed_begins_at_the_leaf():
    _, frames = drawn(PLAIN, reverse=True, width=1000 + MARGINS)
    assert frames["left"][1] == frames["all"][1] - 18
    assert frames["left"][2] == 600


def test_skipped_frames_are_counted():
    root, frames = drawn(PLAIN, width=1000 + MARGINS, min_width=3)
    assert "tiny" not in frames
    assert "1 frame narrower than 3 pixels is not drawn: 0.20% of the width." in texts(root)
    root, _ = drawn(PLAIN, width=1000 + MARGINS)
    assert "not drawn" not in texts(root)


def test_recording_details_are_shown():
    info = Info("cpu-clock", "samples", 3.0, 0, 1, 7, 9, "Its title", ("Something to know.",))
    text = texts(drawn(profile_of({("a",): 10}, info))[0])
    for part in ("Its title", "cpu-clock", "lost 7", "truncated 9", "Something to know."):
        assert part in text


def test_colours_by_kind_and_by_palette():
    source = svg.render(PLAIN, WriteOptions(root="none")).decode()
    _, frames = drawn(PLAIN)
    fill = dict(re.findall(r"\.(c\d+) rect\{fill:(#\w{6})\}", source)[::-1])
    user, kernel = fill[frames["left"][4]], fill[frames["kright"][4]]
    assert int(user[1:3], 16) > int(user[5:], 16)
    assert int(kernel[5:], 16) > int(kernel[1:3], 16)
    assert "kernel" in texts(drawn(PLAIN)[0])
    assert "kernel" not in texts(drawn(PLAIN, colors="hot")[0])
    assert svg.render(PLAIN, WriteOptions(colors="hot")) != svg.render(PLAIN, WriteOptions(colors="aqua"))


@pytest.mark.parametrize(
    "name", ["]]>", "<b>&amp;", "\x00\x08\x1b", "\ud800\udcff", "\ufffe\uffff", "'\"", "a\nb", "]]><script>", "\u202e"]
)
def test_any_name_is_xml(name):
    root, frames = drawn(profile_of({(name, "x"): 5}, Info(name, name, 1.0, 0, 1, 0, 0, name, (name,))))
    assert len(frames) == 3
    assert len(list(root.iter(f"{NS}script"))) == 1
    compared = diff(PLAIN, profile_of({(name,): 3}))
    ET.fromstring(svg.render_diff(compared, WriteOptions(title=name)))


def test_nothing_to_draw():
    empty = PLAIN.filter(thread="nobody")
    assert list(drawn(empty)[1]) == ["all"]
    ET.fromstring(svg.render_diff(diff(empty, empty), WriteOptions()))


def test_loads_nothing():
    source = svg.render(PLAIN, WriteOptions()).decode()
    assert "http" not in source.replace("http://www.w3.org/2000/svg", "")
    assert "href" not in source


def test_a_diff_shows_verdicts_signs_and_the_normalization():
    before, after = profile_of({("a",): 500, ("b",): 500}), profile_of({("a",): 900, ("c",): 100})
    root = ET.fromstring(svg.render_diff(diff(before, after), WriteOptions(width=1000 + MARGINS)))
    titles = [group.find(f"{NS}title").text for group in root.find(f"{NS}g[@id='frames']")]
    assert any(title.startswith("+ a\ngrown: 50 → 90 %, +40 points, +80.0% of the frame") for title in titles)
    assert any(title.startswith("✕ b\ngone: 50 → 0 %, -50 points") for title in titles)
    assert any(title.startswith("✚ c\nnew: 0 → 10 %") for title in titles)
    assert "Share of the total: 1,000 and 1,000 samples." in texts(root)
    for word in ("gone", "shrunk", "unchanged", "grown", "new", "inconclusive"):
        assert word in texts(root)
