"""The HTML file: its packed data, and that it contains nothing else."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from flamegraph.builder import Builder
from flamegraph.errors import ProfileError
from flamegraph.flame_graph import FlameGraph
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info, Profile, Samples, Stacks
from flamegraph.tree import build
from flamegraph.writers import WriteOptions, colors, html
from flamegraph.writers.html_page import packed
from flamegraph.writers.labels import sanitized
from flamegraph.writers.layout import arranged, prune, reversed_stacks, starts, totals


def profile_of(*rows, info=None):
    """Rows: thread, "a;b;c", interval, weight."""
    builder = Builder()
    for comm, text, interval, weight in rows:
        frames = [builder.frame(Frame(name)) for name in text.split(";") if name]
        thread = builder.thread(Thread(1, 2, comm) if comm else Thread(-1, -1, ""))
        builder.add(builder.stack(frames), thread, interval, count=int(weight), weight=weight)
    return builder.profile(info or Info("cycles", "samples", 2.0, 1.0, 2))


def unpacked(page):
    """Header and arrays of a page, read without its script."""
    text = re.search(r'<script type="application/octet-stream" id="data">([A-Za-z0-9+/=]*)</script>', page)[1]
    content = gzip.decompress(base64.b64decode(text))
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    found = {}
    for name, place in header["arrays"].items():
        values = np.frombuffer(content, f"<{place['type']}", place["length"], 4 + length + place["offset"])
        found[name] = np.cumsum(values, dtype=np.int64) if place["rising"] else values
    return header, found


def stacks_in(page):
    """(path, thread, interval) -> weight, from the page alone."""
    header, data = unpacked(page)
    found = {}
    for leaf, thread, interval, weight in zip(
        *(data[key] for key in ("leaf", "thread", "interval", "weight")), strict=True
    ):
        path, node = [], int(leaf)
        while node:
            path.insert(0, header["names"][data["frame"][node]])
            node = int(data["parent"][node])
        key = ";".join(path), header["threads"][thread][0], int(interval)
        found[key] = found.get(key, 0) + float(weight)
    return found


def page_of(profile, **options):
    return html.render(profile, WriteOptions(**options)).decode()


THREE = profile_of(("x", "a;b", 0, 5), ("x", "a;c", 1, 2), ("y", "a;b", 0, 1))


def test_every_row_is_in_the_page():
    assert stacks_in(page_of(THREE)) == {("x;a;b", "x", 0): 5, ("x;a;c", "x", 1): 2, ("y;a;b", "y", 0): 1}
    assert stacks_in(page_of(THREE, root="none", reverse=True)) == {
        ("b;a", "x", 0): 5,
        ("c;a", "x", 1): 2,
        ("b;a", "y", 0): 1,
    }
    assert ("b;a;x-1/2", "x", 0) in stacks_in(page_of(THREE, root="tid", reverse=True))


def test_stacks_of_unknown_threads_and_empty_stacks():
    mixed = profile_of(("", "a;b", 0, 3), ("x", "a", 0, 2), ("", "", 0, 4), ("x", "", 1, 1))
    wanted = {("a;b", "", 0): 3, ("x;a", "x", 0): 2, ("", "", 0): 4, ("x", "x", 1): 1}
    assert stacks_in(page_of(mixed)) == wanted
    assert sum(stacks_in(page_of(mixed, reverse=True)).values()) == 10


def test_no_samples_at_all():
    empty = Profile(
        [],
        Stacks(np.zeros(1, np.int64), np.zeros(0, np.int64)),
        [],
        replace(THREE.samples).where(np.zeros(3, bool)),
        Info(),
    )
    for options in ({}, {"reverse": True}, {"root": "none"}):
        assert stacks_in(page_of(empty, **options)) == {}
    assert stacks_in(page_of(THREE.filter(thread="nobody"))) == {}


def test_siblings_are_ordered_by_name():
    header, data = unpacked(
        page_of(profile_of(("x", "m;zeta", 0, 1), ("x", "m;alpha", 0, 9), ("x", "m;mid", 0, 1)), root="none")
    )
    assert [header["names"][frame] for frame in data["frame"]] == ["all", "m", "alpha", "mid", "zeta"]
    assert (np.diff(data["parent"]) >= 0).all()


def test_numbered_threads_have_their_merged_name():
    header, _ = unpacked(page_of(profile_of(("r-1", "a", 0, 1), ("r-2", "a", 0, 1), ("solo", "a", 0, 1))))
    names = header["names"]
    assert {(names[a], names[b]) for a, b in header["fold"]} == {("r-1", "r-N"), ("r-2", "r-N")}


def test_lost_samples_are_in_the_details():
    info = Info("cycles", "samples", 2.5, 1.0, 3, 4, 5, "T", ("a note",), ("branches",))
    header, _ = unpacked(page_of(profile_of(("x", "a", 0, 10), info=info)))
    details = {label: (value, warns) for label, value, warns in header["details"]}
    assert details["lost"] == ("4 (28.6%)", True)
    assert details["truncated"] == ("5 (50.0%)", True)
    assert header["notes"] == ["a note", "The file has other events, not shown here: branches."]


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_the_policy_allows_this_script_and_style_only():
    page = page_of(THREE)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert len(script) == 1
    for text, kind in ((script[0], "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    outline = Outline()
    outline.feed(page)
    assert not [name for name, value in outline.attributes if name.startswith("on") or name == "style"]
    assert not re.search(r"(?:src|href)=\"(?!data:,)", page)
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("name", ["</title><script>x", "{{data}}", "\\1\\g<0>", '"><b>', "\x00\udcff"])
def test_a_title_changes_nothing(name):
    outline, plain = Outline(), Outline()
    outline.feed(page_of(THREE, title=name))
    plain.feed(page_of(THREE, title="plain"))
    assert outline.tags == plain.tags


def test_the_same_profile_gives_the_same_page():
    assert page_of(THREE) == page_of(THREE)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("std::vector<int>::push_back(int&&)", "std::vector<int>::push_back(int&&)"),
        ("a\x1b[31m", "a\\x1b[31m"),
        ("\u202egnp", "\\u202egnp"),
        ("\udc80\udcff", "\\x80\\xff"),
        ("\ud800", "\\ud800"),
        ("\ufffe", "\\ufffe"),
        ("\U000e0041", "\\U000e0041"),
        ("naïve 函数 😀", "naïve 函数 😀"),
    ],
)
def test_sanitized(name, wanted):
    assert sanitized(name) == wanted
    sanitized(name).encode()


def test_annotations():
    builder = Builder()
    stack = builder.stack([builder.frame(Frame(kind.name.lower(), "", kind)) for kind in Kind])
    builder.add(stack, builder.thread(Thread(1, 1, "x")))
    profile = builder.profile(Info())
    header, _ = unpacked(page_of(profile, annotate_kernel=True))
    assert {"kernel_[k]", "jit", "inlined"} <= set(header["names"])
    header, _ = unpacked(page_of(profile, annotate_jit=True))
    assert {"kernel", "jit_[j]", "inlined_[i]"} <= set(header["names"])


@pytest.mark.parametrize("values", [[0, 255], [0, 256], [0, 2**16], [0, 2**32], [0.5, 1], [-1, 1], [], [2**53 - 1]])
def test_packed_numbers_keep_their_values(values):
    text = packed({}, {"only": np.array(values)})
    content = gzip.decompress(base64.b64decode(text))
    length = int.from_bytes(content[:4], "little")
    place = json.loads(content[4 : 4 + length])["arrays"]["only"]
    assert np.frombuffer(content, f"<{place['type']}", place["length"], 4 + length).tolist() == values


def luminance(color):
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PALETTES = ("kind", "hot", "mem", "io", "aqua", "orange", "red", "green", "blue", "yellow", "purple")


@pytest.mark.parametrize("name", [*PALETTES, "verdicts"])
def test_text_can_be_read_on_every_colour(name):
    palette = colors.diff_palette() if name == "verdicts" else colors.palette(name)
    for theme, ink in (("light", "#1b1f27"), ("dark", "#eef1f6")):
        for color in palette[theme]:
            high, low = sorted((luminance(color), luminance(ink)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, theme, color)


def test_an_unknown_palette_is_refused():
    with pytest.raises(ProfileError, match="no palette 'beige'"):
        page_of(THREE, colors="beige")


def test_totals_starts_and_pruning_match_a_simple_count():
    random = np.random.default_rng(3)
    rows = [
        (
            f"t{random.integers(3)}",
            ";".join(f"f{random.integers(4)}" for _ in range(random.integers(1, 7))),
            0,
            float(w),
        )
        for w in random.integers(1, 50, 300)
    ]
    profile = profile_of(*rows)
    tree, _ = arranged(build(profile))
    width = totals(tree, tree.self_weight(profile.samples.weight))
    begin = starts(tree, width)
    wanted = {}
    for comm, text, _, weight in rows:
        path = (comm, *text.split(";"))
        for length in range(len(path) + 1):
            wanted[path[:length]] = wanted.get(path[:length], 0) + weight
    seen = {}
    for node in range(len(tree)):
        path, at = (), node
        while at:
            path, at = (tree.frames[tree.frame[at]].name, *path), int(tree.parent[at])
        seen[path] = width[node]
        children = np.flatnonzero(tree.parent == node)
        ends = np.concatenate(([begin[node]], begin[children] + width[children]))
        assert np.allclose(ends[:-1], begin[children])
    assert seen == wanted
    pruned = prune(tree, width, 100)
    assert pruned.skipped == sum(weight < 100 for weight in wanted.values())
    topmost = [path for path, weight in wanted.items() if weight < 100 and wanted[path[:-1]] >= 100]
    assert pruned.weight == sum(wanted[path] for path in topmost)


def test_reversed_stacks_keep_rows():
    turned = reversed_stacks(THREE, "comm")
    assert turned.samples.weight is THREE.samples.weight
    names = [[turned.frames[i].name for i in turned.stacks[stack]] for stack in turned.samples.stack]
    assert names == [["b", "a", "x"], ["c", "a", "x"], ["b", "a", "y"]]


def test_a_notebook_displays_a_frame():
    cell = FlameGraph.of(THREE)._repr_html_()
    assert cell.startswith('<iframe sandbox="allow-scripts"')
    outline = Outline()
    outline.feed(cell)
    assert outline.tags == ["iframe"]
    inner = dict(outline.attributes)["srcdoc"]
    assert stacks_in(inner) == stacks_in(page_of(THREE, inverted=True))


def test_counts_apart_from_weights():
    samples = THREE.samples
    weighed = replace(
        THREE, samples=Samples(samples.stack, samples.thread, samples.interval, samples.count, samples.weight * 1000.5)
    )
    _, data = unpacked(page_of(weighed))
    assert sorted(data["count"].tolist()) == [1, 2, 5]
    assert data["weight"].sum() == 8 * 1000.5
