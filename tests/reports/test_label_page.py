"""The page of the least trusted labels, in a browser."""

import base64
import csv
import functools
import io
import json
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from famus_tf.reports import label_page
from tests.reports import label_reports

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
ui = pytest.importorskip("selenium.webdriver.support.ui")
expected_conditions = pytest.importorskip("selenium.webdriver.support.expected_conditions")
CHROME, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
in_a_browser = pytest.mark.skipif(not (CHROME and DRIVER), reason="Chromium and its driver are not installed")


def write(path, report, images, **options):
    label_page.write(path, report, lambda positions: [images[k] for k in positions], "Labels of a test", **options)


def contents(path):
    return json.loads(re.search(r'application/json">(.*?)</script>', path.read_text(), re.DOTALL)[1])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROME
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.add_argument("--window-size=1400,1000")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.downloads = downloads
    yield driver
    driver.quit()


def opened(browser, path):
    """Opens a page; on a busy machine it is there a moment later."""
    browser.get(path.as_uri())
    ui.WebDriverWait(browser, 10).until(shown)


def answered(browser, accept=True):
    """What the page asks in a window of its own, answered."""
    alert = ui.WebDriverWait(browser, 10).until(expected_conditions.alert_is_present())
    text = alert.text
    if accept:
        alert.accept()
    else:
        alert.dismiss()
    return text


def all_of(browser, selector):
    return browser.find_elements("css selector", selector)


def one_of(browser, selector):
    return browser.find_element("css selector", selector)


def shown(browser):
    """Rows of the cards that are shown."""
    return [int(card.get_attribute("data-row")) for card in all_of(browser, ".card")]


def choose(browser, field, text):
    for option in all_of(browser, f"#{field} option"):
        if option.text == text:
            option.click()
            return
    raise AssertionError(text)


@pytest.fixture
def page(browser, tmp_path):
    """An opened page and its report."""
    report = label_reports.make()
    write(tmp_path / "labels.html", report, label_reports.images(30))
    for log in ("browser", "performance"):
        browser.get_log(log)  # of another page
    opened(browser, tmp_path / "labels.html")
    yield report
    browser.execute_script("localStorage.clear()")  # it is that of all files
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"}
    outside = {url for url in urls if not url.startswith(("data:", "blob:", (tmp_path / "labels.html").as_uri()))}
    assert urls and not outside


@in_a_browser
def test_the_least_trusted_come_first_with_their_images(browser, page):
    order = page.order
    assert shown(browser) == list(range(30))
    cards = all_of(browser, ".card")
    images = label_reports.images(30)
    for card, i in list(zip(cards, order, strict=True))[:5]:
        given, predicted = page.class_names[page.given[i]], page.class_names[page.predicted[i]]
        text = card.text
        assert given in text and predicted in text and page.paths[i] in text and f"{page.suspicion[i]:.3f}" in text
        picture = card.find_element("css selector", "img")
        assert picture.get_property("naturalWidth") == 8
        data = base64.b64decode(picture.get_attribute("src").partition("base64,")[2])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), images[i, :, :, 0])


@in_a_browser
def test_filters_and_search(browser, page):
    order = page.order
    given, predicted = page.given[order], page.predicted[order]
    choose(browser, "given", "dog")
    assert shown(browser) == np.flatnonzero(given == 1).tolist()
    choose(browser, "predicted", "cat")
    assert shown(browser) == np.flatnonzero((given == 1) & (predicted == 0)).tolist() != []
    one_of(browser, "#clear").click()
    one_of(browser, "#search").send_keys("CAT/")
    assert shown(browser) == np.flatnonzero(given == 0).tolist()
    one_of(browser, "#search").send_keys("nothing is called so")
    assert shown(browser) == [] and "No example is like that" in one_of(browser, "#end").text
    one_of(browser, "#clear").click()
    cell = one_of(browser, 'td[data-given="1"][data-predicted="2"]')
    assert cell.text == str(((page.given == 1) & (page.predicted == 2)).sum())
    cell.click()
    assert shown(browser) == np.flatnonzero((given == 1) & (predicted == 2)).tolist()
    pair = one_of(browser, ".pairs button")
    count = int(pair.find_element("css selector", "span").text)
    pair.click()
    assert len(shown(browser)) == count > 0


@in_a_browser
def test_marks_are_downloaded_kept_and_loaded(browser, page, tmp_path):
    order = page.order

    def mark(row, name):
        one_of(browser, f'#card-{row} button[data-mark="{name}"]').click()

    mark(0, "drop")
    mark(1, "relabel")
    mark(2, "keep")
    mark(3, "drop")
    mark(3, "drop")  # taken back
    card = one_of(browser, "#card-4")
    browser.execute_script("arguments[0].focus()", card)
    card.send_keys("r")
    all_of(browser, "#card-4 select option")[2].click()
    assert "1 kept, 2 relabelled, 1 dropped" in one_of(browser, "#count").text
    choose(browser, "marked", "relabelled")
    assert shown(browser) == [1, 4]
    one_of(browser, "#save").click()
    path = browser.downloads / "marks.csv"
    for _ in range(50):
        if path.exists():
            break
        time.sleep(0.1)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    path.unlink()
    names = page.class_names
    first = order[[0, 1, 2, 4]]
    assert [int(row["index"]) for row in rows] == page.index[first].tolist()
    assert [row["mark"] for row in rows] == ["drop", "relabel", "keep", "relabel"]
    assert [row["given_label"] for row in rows] == [names[k] for k in page.given[first]]
    assert [row["path"] for row in rows] == [page.paths[i] for i in first]
    assert [row["new_label"] for row in rows] == ["", names[page.predicted[order[1]]], "", names[2]]
    browser.refresh()
    assert "1 kept, 2 relabelled, 1 dropped" in one_of(browser, "#count").text
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert "0 kept, 0 relabelled, 0 dropped" in one_of(browser, "#count").text
    with open(tmp_path / "mine.csv", "w", newline="") as file:
        index = page.index[order]
        strangers = [
            [index[8], "/other/z.png", "", "drop", ""],
            [index[9], "", names[(page.given[order[9]] + 1) % 3], "drop", ""],
            [10_000, "", "", "drop", ""],
            [page.index[-1], "", "", "keep", ""],  # trusted
        ]
        head = ["index", "path", "given_label", "mark", "new_label"]
        csv.writer(file).writerows([head, [index[7], "", "", "relabel", names[2]], *strangers])
    one_of(browser, "#file").send_keys(str(tmp_path / "mine.csv"))
    assert answered(browser).startswith("4 lines are of no example, label or class that can be marked")
    assert "0 kept, 1 relabelled, 0 dropped" in one_of(browser, "#count").text
    browser.execute_script("localStorage.clear()")


@in_a_browser
def test_fifty_thousand_rows(browser, tmp_path):
    report = label_reports.make(50_000)
    images = label_reports.images(100)
    path = tmp_path / "labels.html"
    label_page.write(path, report, lambda positions: [images[k % 100] for k in positions], "many")
    started = time.monotonic()
    opened(browser, path)
    seconds = time.monotonic() - started
    assert len(shown(browser)) == 60 and "50,000 shown" in one_of(browser, "#count").text
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    for _ in range(50):
        if len(shown(browser)) > 60:
            break
        time.sleep(0.1)
    assert len(shown(browser)) == 120
    print(f"loaded in {seconds:.2f} s")


def test_large_images_are_made_small_and_what_cannot_be_read_is_left_out(tmp_path):
    images = [*label_reports.images(2, 200, 3), None, *label_reports.images(1, 40, 4)]
    write(tmp_path / "labels.html", label_reports.make(4, is_trusted=np.zeros(4, bool)), images)
    found = contents(tmp_path / "labels.html")
    assert found["images"].count(None) == 1 and not found["small"]
    sizes = set()
    for uri in filter(None, found["images"]):
        sizes.add(Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))).size)
    assert sizes == {(96, 96), (40, 40)}


@in_a_browser
def test_trusted_images_cannot_be_marked(browser, page):
    trusted = [row for row, i in enumerate(page.order) if page.is_trusted[i]]
    assert len(trusted) == 4
    card = one_of(browser, f"#card-{trusted[0]}")
    assert "trusted" in card.text and not card.find_elements("css selector", "button")
    browser.execute_script("arguments[0].focus()", card)
    card.send_keys("d")
    one_of(browser, "#drop-shown").click()
    assert answered(browser) == f"Drop {len(page) - 4} labels, also those further down?"
    assert f"0 kept, 0 relabelled, {len(page) - 4} dropped" in one_of(browser, "#count").text


@in_a_browser
def test_keys_go_from_card_to_card(browser, page):
    """Without a card in the frame the first key frames one; a mark by the mouse keeps the frame."""
    body = one_of(browser, "body")
    body.send_keys("d")
    assert "0 dropped" in one_of(browser, "#count").text
    framed = "return document.activeElement.id"
    assert browser.execute_script(framed) == "card-0"
    browser.switch_to.active_element.send_keys("D")
    assert browser.execute_script(framed) == "card-1" and "1 dropped" in one_of(browser, "#count").text
    one_of(browser, '#card-2 button[data-mark="keep"]').click()
    assert browser.execute_script(framed) == "card-2" and "1 kept" in one_of(browser, "#count").text


@in_a_browser
def test_many_marks_at_once_and_none(browser, page):
    """Those that are predicted as they are given are not relabelled; all can be taken back."""
    differ = ~page.is_trusted & (page.predicted != page.given)
    one_of(browser, "#relabel-shown").click()
    answered(browser, accept=False)
    assert "0 relabelled" in one_of(browser, "#count").text
    one_of(browser, "#relabel-shown").click()
    answered(browser)
    assert f"0 kept, {differ.sum()} relabelled, 0 dropped" in one_of(browser, "#count").text
    one_of(browser, "#forget").click()
    answered(browser)
    assert "0 kept, 0 relabelled, 0 dropped" in one_of(browser, "#count").text
    assert browser.execute_script("return Object.values(localStorage)") == ["[]"]


@in_a_browser
def test_names_that_would_end_the_data(browser, tmp_path):
    """The parser of HTML changes its state within a script at some words."""
    report = label_reports.make(12, ("<!--<script>", "</script>", "b"))
    write(tmp_path / "labels.html", report, label_reports.images(12))
    opened(browser, tmp_path / "labels.html")
    assert len(shown(browser)) == 12 and "<!--<script>" in one_of(browser, "#given").text


def test_names_that_html_or_a_script_would_take_for_its_own(tmp_path):
    names = ("</script><b>", "a&b", "<!--", "]]>\u2028")
    report = label_reports.make(12, names, paths=["/x/\udcff</script>.png"] * 12)
    write(tmp_path / "labels.html", report, label_reports.images(12))
    found = contents(tmp_path / "labels.html")
    assert found["classes"] == list(names) and found["paths"][0] == "/x/\\xff</script>.png"
    assert (tmp_path / "labels.html").read_text().count("</script>") == 2


def test_the_page_holds_the_top_of_the_list_and_counts_all(tmp_path):
    report = label_reports.make(40, predicted=np.full(40, -1), weight=np.full(40, np.nan, np.float32))
    asked = []
    read = functools.partial(lambda positions: asked.append(positions) or [None] * len(positions))
    label_page.write(tmp_path / "labels.html", report, read, "t", rows=10, images=3)
    found = contents(tmp_path / "labels.html")
    np.testing.assert_array_equal(asked[0], report.order[:3])
    assert found["index"] == report.index[report.order[:10]].tolist()
    assert found["pairs"] == [] and found["weight"] == [None] * 10 and sum(found["suspicions"]["counts"]) == 40
    assert "the page has the 10 least trusted of them" in found["summary"]
