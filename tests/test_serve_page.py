"""The server's page in headless Chromium: the Content-Security-Policy that comes as a header lets it work."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser import console_errors, emulate, open_browser, requested_urls
from report_page import find
from sent_pictures import picture
from server_process import running_server
from thumbnet.runs.predict import predict

pytestmark = pytest.mark.browser


def test_the_page_predicts_as_the_command_does(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(picture(side=90))
    (expected,) = predict("thumb-20k", [path])
    (tmp_path / "profile").mkdir()
    with running_server("thumb-20k") as server, open_browser(tmp_path / "profile") as browser:
        address = f"http://127.0.0.1:{server.port}/"
        emulate(browser)
        requested_urls(browser)
        browser.get(address)
        assert browser.execute_async_script("thumbnetReady.then(arguments[0])")
        find(browser, "input[type=file]").send_keys(str(path))
        browser.execute_async_script("setTimeout(() => thumbnetIdle().then(arguments[0]))")
        assert find(browser, "[data-class]").get_attribute("data-class") == expected.class_name
        assert max(browser.execute_script("return thumbnetLast.probabilities")) == pytest.approx(
            expected.probability, abs=0.01
        )
        assert console_errors(browser) == []
        assert requested_urls(browser) == [address]
        browser.get("about:blank")
        browser.get(f"http://evil.example.localhost:{server.port}/")  # a name that leads here, as in DNS rebinding
        assert "another name" in browser.page_source
