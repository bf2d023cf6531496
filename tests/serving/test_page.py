"""The live page in a real headless browser: what it shows is what the API says, and it loads
nothing from elsewhere.
"""

import os
import shutil
import time
from pathlib import Path

import orjson
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from contracts.redis_keys import DRIFT_KEY, PARITY_KEY, STATS_KEY
from tests.serving.conftest import KEY, SYMBOL
from tests.serving.test_api_process import Process, fed, live  # noqa: F401 - fixtures

pytestmark = [pytest.mark.page, pytest.mark.filterwarnings("ignore")]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--window-size=1280,900",
)
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-sync")
PATIENCE_S = 30


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"X-API-Key": KEY}})
    yield driver
    driver.quit()


@pytest.fixture
def api(live, fed):  # noqa: F811
    fed.put("SYNTH:OLD", age_s=100)
    fed.client.set(
        PARITY_KEY,
        orjson.dumps(
            {"unexplained": 0, "values_compared": 1_234_567, "taken_us": 1_800_000_000_000_000}
        ),
    )
    fed.client.set(DRIFT_KEY, orjson.dumps({"alerts": 1, "prediction_psi": 0.02}))
    fed.client.hset(STATS_KEY, mapping={"lag": 3, "written": 1200, "older": 4})
    process = Process(live)
    yield process
    process.stop()


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def text(browser, place):
    return browser.find_element(By.ID, place).text


def picture(browser, name, tmp_path):
    folder = Path(os.environ.get("TICK_TEST_ARTIFACTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.png"
    assert browser.save_screenshot(str(file)) and file.stat().st_size > 10_000
    print(f"picture: {file}")


def test_it_shows_symbols_model_freshness_parity_and_drift(browser, api, fed, tmp_path):  # noqa: F811
    browser.get(f"{api.settings.api_url}/live")
    until(lambda: SYMBOL in text(browser, "symbols"), "no symbol came")
    assert "tick-model v1" in text(browser, "model")
    rows = {
        row.text.split()[0]: row.text
        for row in browser.find_elements(By.CSS_SELECTOR, "#symbols tr.row")
    }
    assert "stale" in rows["SYNTH:OLD"] and "stale" not in rows[SYMBOL]
    (result,) = api.predict(SYMBOL).json()["results"]
    assert f"{result['prediction_bps']:+.3f}" in rows[SYMBOL]
    assert "1,234,567" in text(browser, "quality") and "1,200" in text(browser, "pipeline")
    browser.find_element(By.CSS_SELECTOR, "#symbols tr.row").click()
    until(lambda: "log_return_1m" in text(browser, "symbols"), "a click opens the features")
    picture(browser, "live", tmp_path)
    requests = [
        orjson.loads(entry["message"])["message"] for entry in browser.get_log("performance")
    ]
    urls = {
        m["params"]["request"]["url"]
        for m in requests
        if m["method"] == "Network.requestWillBeSent"
    }
    assert urls and all(url.startswith((api.settings.api_url, "data:")) for url in urls)
    assert [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] == "SEVERE" and "favicon" not in entry["message"]
    ] == []


def test_it_says_when_the_api_is_away(browser, api):
    browser.get(f"{api.settings.api_url}/live")
    until(lambda: SYMBOL in text(browser, "symbols"), "no symbol came")
    api.process.kill()
    until(
        lambda: "does not answer" in text(browser, "ready"), "it went on as if nothing had happened"
    )


def test_the_documentation_opens_without_the_net(browser, api, tmp_path):
    browser.get(f"{api.settings.api_url}/docs")
    until(
        lambda: "/predict" in browser.page_source and "opblock" in browser.page_source,
        "Swagger UI did not render",
    )
    picture(browser, "docs", tmp_path)
