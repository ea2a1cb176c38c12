"""Time range, threads, table, URL, theme and print."""

import re

from selenium.webdriver.common.keys import Keys


def test_time_range_by_mouse_and_keyboard(browser, known):
    browser.open(known, root="none")
    browser.drag("strip", 0.02, 0.48)
    browser.until_text("time-text", "Only 0.0 s – 5.0 s")
    browser.point(0.5, 2)
    browser.until_text("tip", "alpha")
    assert "total60 samples92.3 % of all" in browser.text("tip")
    assert "of 5 s" in browser.text("tip")
    browser.click("time-all")
    assert "Whole recording" in browser.text("time-text")
    browser.focus("strip-from")
    browser.keys(*[Keys.ARROW_RIGHT] * 5)
    assert browser.run("return document.getElementById('strip-from').getAttribute('aria-valuetext')") == "5.0 s"
    browser.point(0.5, 2)
    browser.until_text("tip", "beta")


def test_strip_follows_the_zoom(browser, known):
    browser.open(known, root="none")
    strip = "return document.getElementById('strip-canvas').toDataURL()"
    before = browser.run(strip)
    browser.press(0.3, 2)
    browser.until_text("path", "alpha")
    assert browser.run(strip) != before


def test_without_times_there_is_no_strip(browser, known):
    from dataclasses import replace

    flat = replace(known, info=replace(known.info, interval_s=0.0))
    browser.open(flat)
    assert browser.hidden("time")


def test_threads_are_hidden_and_shown(browser, known):
    browser.open(known)
    browser.focus()
    browser.keys("h")
    names = browser.run("return [...document.querySelectorAll('.thread-name')].map((e) => e.textContent)")
    assert names == ["reactor-0", "reactor-1", "helper"]
    browser.run("document.querySelectorAll('.thread input')[0].click()")
    browser.run("document.querySelectorAll('.thread input')[2].click()")
    assert browser.text("threads-button") == "Threads · 2 hidden"
    browser.point(0.5, 1)
    browser.until_text("tip", "reactor-1")
    assert "total45 samples100 % of all" in browser.text("tip")
    browser.run("[...document.querySelectorAll('.picks button')][1].click()")
    assert not browser.hidden("empty")
    browser.run("[...document.querySelectorAll('.picks button')][0].click()")
    assert browser.hidden("empty")


def test_numbered_threads_merge_and_the_zoom_stays(browser, known):
    browser.open(known)
    browser.press(0.5, 1)
    browser.until_text("path", "reactor-0")
    browser.keys(Keys.HOME, "h")
    browser.run("document.querySelector('.fold input').click()")
    browser.press(0.5, 1)
    browser.until_text("path", "reactor-N")
    assert "fold=1" in browser.address()
    browser.point(0.5, 1)
    browser.until_text("tip", "total90 samples90.0 % of all")
    names = browser.run("return [...document.querySelectorAll('.thread-name')].map((e) => e.textContent)")
    assert names == ["reactor-N", "helper"]


def test_table_has_the_same_numbers(browser, known):
    browser.open(known, root="none")
    browser.focus()
    browser.keys("t")
    rows = browser.run(
        "return [...document.querySelectorAll('#table table')].map((t) => [t.caption.textContent,"
        " ...[...t.tBodies[0].rows].map((r) => [...r.cells].map((c) => c.textContent).join('|'))])"
    )
    assert rows[0] == ["Called by all: 1 frame", "main|user|0 samples|0 %|100 samples|100 %"]
    assert rows[1] == [
        "Functions in all: 4",
        "alpha|user|60 samples|60.0 %|60 samples|60.0 %",
        "beta|user|30 samples|30.0 %|30 samples|30.0 %",
        "write|kernel|10 samples|10.0 %|10 samples|10.0 %",
        "main|user|0 samples|0 %|100 samples|100 %",
    ]
    marks = browser.run(
        "return [document.querySelectorAll('#table th[scope=col]').length, document.querySelectorAll('#table"
        " tbody th[scope=row]').length, document.querySelectorAll('#table [aria-sort=descending]').length]"
    )
    assert marks == [12, 5, 2]
    browser.run("document.querySelector('#table tbody button').click()")
    assert browser.path() == ["all", "main"]
    browser.run("document.querySelectorAll('#table table')[1].querySelector('thead button').click()")
    first = "return document.querySelectorAll('#table table')[1].tBodies[0].rows[0].cells[0].textContent"
    assert browser.run(first) == "alpha"
    assert browser.hidden("graph")


def test_recursion_counts_once(browser):
    from flamegraph.builder import Builder
    from flamegraph.frames import Frame, Thread
    from flamegraph.profile import Info

    builder = Builder()
    again, leaf = builder.frame(Frame("again")), builder.frame(Frame("leaf"))
    thread = builder.thread(Thread(1, 1, "x"))
    builder.add(builder.stack([again, again, again, leaf]), thread, count=7, weight=7)
    builder.add(builder.stack([leaf]), thread, count=3, weight=3)
    browser.open(builder.profile(Info()), "#table=1", root="none")
    table = browser.run(
        "return [...document.querySelectorAll('#table table')[1].tBodies[0].rows].map((r) => r.textContent)"
    )
    assert table == ["leafuser10 samples100 %10 samples100 %", "againuser0 samples0 %7 samples70.0 %"]


def test_the_url_restores_all_choices(browser, known):
    path = browser.open(known)
    browser.press(0.3, 1)
    browser.until_text("path", "reactor-0")
    browser.drag("strip", 0.02, 0.68)
    browser.until_text("time-text", "7.0 s")
    browser.keys("d", "f", "h")
    browser.run("document.querySelectorAll('.thread input')[2].click()")
    browser.focus("search")
    browser.keys("alp")
    browser.until_text("search-result", "%")
    address = browser.address()
    parts = ("path", "time-text", "search-result", "threads-button", "turn", "theme")
    seen = [browser.text(part) for part in parts]
    for name in ("zoom=", "time=0-7", "q=alp", "theme=dark", "turn=flame", "hide="):
        assert name in address
    browser.load(path, address)
    assert [browser.text(part) for part in parts] == seen
    assert browser.address() == address
    browser.load(path, "#zoom=zz.99&time=9-2&hide=5-1,99,-1&turn=no&theme=no&width=7&q=")
    assert browser.path() == ["all"]
    assert "Whole recording" in browser.text("time-text")


def test_back_of_the_browser_undoes_a_zoom(browser, known):
    browser.open(known, root="none")
    browser.press(0.3, 2)
    browser.until_text("path", "alpha")
    browser.driver.back()
    browser.until("return document.querySelectorAll('#path button').length === 1")


def test_dark_by_system_and_by_choice(browser, known):
    browser.look(dark=True)
    browser.open(known, root="none")
    page = "return getComputedStyle(document.body).backgroundColor"
    dark, frame = browser.run(page), browser.color(0.3, 2)
    assert max(map(int, re.findall(r"\d+", dark))) < 60
    browser.click("theme")
    assert min(map(int, re.findall(r"\d+", browser.run(page)))) > 230
    assert sum(browser.color(0.3, 2)) > sum(frame) + 100
    assert "theme=light" in browser.address()


def test_print_is_white_and_has_all_rows(browser, known):
    browser.look(dark=True)
    browser.open(known)
    browser.run(
        "addEventListener('beforeprint', () => { window.sheet = [...document.querySelectorAll('#sheets canvas')].map("
        "(c) => [c.width, c.height, ...c.getContext('2d').getImageData(c.width * 0.3, 21 * 2 * 2 + 36, 1, 1).data]); })"
    )
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF")
    [[width, height, red, green, blue, _]] = browser.run("return window.sheet")
    assert (width, height) == (2000, 4 * 21 * 2)
    assert red + green + blue > 450, "light colours on paper, also of a dark page"
    assert browser.run("return document.querySelectorAll('#sheets canvas').length") == 0
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_nothing_overlaps_or_leaves_the_window(browser, known):
    for width in (800, 1440):
        browser.look(width=width, height=700)
        browser.open(known, "#q=alpha&time=0-5", title="A title that is as long as people make them, and then some")
        browser.focus()
        browser.keys("h")
        clashes = browser.run(
            """
            const parts = ['#title', '#details', '.tools', '#strip', '#path', '#search-form', '#scroll', '#threads',
              '.foot'];
            const places = parts.map((p) => [p, document.querySelector(p).getBoundingClientRect()]);
            const out = places.filter(([, b]) =>
              b.right > innerWidth + 0.5 || b.bottom > innerHeight + 0.5 || b.left < 0);
            const over = places.flatMap(([p, a], i) => places.slice(i + 1).filter(([, b]) =>
              a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5)
              .map(([q]) => p + q));
            return [...out.map(([p]) => p), ...over];
            """
        )
        assert clashes == []
