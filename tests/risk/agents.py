"""What programs really send, with where each was read. Facts; nobody's list.

"wild" is a request header quoted in a public repository's source, test or issue; "crawlers" an instance in
crawler-user-agents.json, which lists libraries too; "sdk" the vendor's SDK itself; "mdn" the page on `User-Agent`; "guide"
a published guide to such strings. Versions of the further headers are made to fit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["BROWSERS", "PROGRAMS", "Sent"]

_FETCH = ("sec-fetch-site: cross-site", "sec-fetch-mode: cors", "accept: application/json")
_ENGLISH = "accept-language: en-US,en;q=0.9"


class Sent(NamedTuple):
    """One request's telling headers."""

    agent: str
    source: str
    more: tuple[str, ...] = ()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As ASGI gives them."""
        pairs = [(b"user-agent", self.agent.encode())]
        for line in self.more:
            name, _, value = line.partition(": ")
            pairs.append((name.encode(), value.encode()))
        return pairs


def _stainless(language: str, runtime: str) -> tuple[str, ...]:
    return (f"x-stainless-lang: {language}", f"x-stainless-runtime: {runtime}", "accept: application/json")


def _hints(version: int, brand: str, platform: str) -> tuple[str, ...]:
    brands = f'sec-ch-ua: "Chromium";v="{version}", "{brand}";v="{version}", "Not:A-Brand";v="99"'
    return (brands, f'sec-ch-ua-platform: "{platform}"', _ENGLISH, *_FETCH)


_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)"
_LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_NODE = ("accept: */*", "accept-language: *", "sec-fetch-mode: cors")

PROGRAMS: Final = (
    Sent("OpenAI/Python 1.35.12", "wild", _stainless("python", "CPython")),
    Sent("AsyncOpenAI/Python 1.102.0", "wild", _stainless("python", "CPython")),
    Sent("AsyncAzureOpenAI/Python 3.14.1", "wild", _stainless("python", "CPython")),
    Sent("Anthropic/Python 0.34.0", "wild", _stainless("python", "CPython")),
    Sent("AnthropicBedrock/Python 1.6.0", "wild", _stainless("python", "CPython")),
    Sent("OpenAI/JS 4.28.0", "sdk", (*_stainless("js", "node"), *_NODE[1:])),
    Sent(
        "OpenAI/JS 6.39.1",
        "wild; as in Firefox, where an SDK may name itself",
        (*_stainless("js", "browser:firefox"), _ENGLISH, *_FETCH),
    ),
    Sent("Anthropic/JS 0.124.0", "wild", (*_stainless("js", "node"), *_NODE[1:])),
    Sent("claude-cli/1.0.83 (external, cli)", "wild: CLIProxyAPI 1621", _stainless("js", "node")),
    Sent("codex_cli_rs/0.101.0 (Mac OS 26.0.1; arm64) Apple_Terminal/464", "wild"),
    Sent("GeminiCLI/0.1.0 Node.js/v22.14.0 (darwin; arm64)", "wild: gemini-cli 319", _NODE),
    Sent("langchainjs-openai/1.0.0 ((node/v24.16.0; linux; x64))", "wild", (*_stainless("js", "node"), *_NODE[1:])),
    Sent("litellm/1.101.0", "wild"),
    Sent("python-httpx/0.27.0", "wild", ("accept: */*",)),
    Sent("python-requests/2.28.2", "guide", ("accept: */*",)),
    Sent("Python/3.7 aiohttp/3.6.2a2", "crawlers", ("accept: */*",)),
    Sent("Python-urllib/3.7", "crawlers"),
    Sent("Go-http-client/2.0", "wild"),
    Sent("curl/8.7.1", "wild", ("accept: */*",)),
    Sent("Wget/1.20.3 (linux-gnu)", "crawlers"),
    Sent("okhttp/3.5.0", "crawlers"),
    Sent("axios/0.19.0", "crawlers"),
    Sent("node", "wild", _NODE),
    Sent("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "crawlers", ("accept: */*",)),
    Sent("Apache-HttpClient/4.5.2 (Java/1.8.0_181)", "crawlers"),
    Sent("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1682", "wild"),
    Sent("Mozilla/5.0 (compatible; Google-Apps-Script; beanserver; +https://script.google.com)", "crawlers"),
)
BROWSERS: Final = (
    Sent(f"{_WINDOWS} Chrome/121.0.0.0 Safari/537.36", "guide", _hints(121, "Google Chrome", "Windows")),
    Sent(f"{_MAC} Chrome/145.0.0.0 Safari/537.36", "wild", _hints(145, "Google Chrome", "macOS")),
    Sent(f"{_LINUX} Chrome/131.0.0.0 Safari/537.36", "wild", _hints(131, "Google Chrome", "Linux")),
    Sent(
        f"{_MAC} Chrome/134.0.0.0 Safari/537.36",
        "wild: LiteLLM's own page, with the SDK in it",
        (*_stainless("js", "browser:chrome"), *_hints(134, "Google Chrome", "macOS")),
    ),
    Sent(f"{_WINDOWS} Chrome/131.0.0.0 Safari/537.36", "wild: over plain HTTP, where there are no hints", (_ENGLISH,)),
    Sent(f"{_WINDOWS} Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0", "wild", _hints(130, "Microsoft Edge", "Windows")),
    Sent(f"{_WINDOWS} Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0", "wild", _hints(140, "Opera", "Windows")),
    Sent(
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36",
        "mdn",
        _hints(143, "Google Chrome", "Android"),
    ),
    Sent(
        f"{_LINUX} Chrome/150.0.0.0 Safari/537.36",
        "wild: a tablet that asks for a desktop's page",
        _hints(150, "Google Chrome", "Android"),
    ),
    Sent(
        "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 "
        "Chrome/122.0.0.0 Mobile Safari/537.36",
        "wild",
        _hints(122, "Samsung Internet", "Android"),
    ),
    Sent(
        "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP2A.240805.005; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
        "Chrome/113.0.5672.136 Mobile Safari/537.36",
        "wild: an app's WebView",
        ("accept: */*", "x-forwarded-proto: https"),
    ),
    Sent(
        "Mozilla/5.0 (Linux; arm_64; Android 8.0.0; CUBOT_X18_Plus) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/79.0.3945.117 YaBrowser/20.2.0.215.00 Mobile Safari/537.36",
        "wild: a telephone whose maker ends in bot",
        (_ENGLISH,),
    ),
    Sent(f"{_IPHONE} Version/17.3 Mobile/15E148 Safari/604.1", "guide", (_ENGLISH, *_FETCH)),
    Sent(f"{_IPHONE} CriOS/132.0.6834.100 Mobile/15E148 Safari/604.1", "wild", (_ENGLISH, *_FETCH)),
    Sent(f"{_IPHONE} FxiOS/126.0 Mobile/15E148 Safari/605.1.15", "wild", (_ENGLISH, *_FETCH)),
    Sent(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_3) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.3 Safari/605.1.15",
        "guide",
        (_ENGLISH, *_FETCH),
    ),
    Sent("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:122.0) Gecko/20100101 Firefox/122.0", "guide", (_ENGLISH, *_FETCH)),
    Sent("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "wild", (_ENGLISH, *_FETCH)),
    Sent("Mozilla/5.0 (Android 14; Mobile; rv:122.0) Gecko/122.0 Firefox/122.0", "wild", (_ENGLISH, *_FETCH)),
    Sent(
        f"{_WINDOWS} Code/1.115.0 Chrome/142.0.7444.265 Electron/39.8.5 Safari/537.36",
        "crawlers: an editor on the desktop, whose SDK finds Node",
        (*_stainless("js", "node"), "accept-language: en-US"),
    ),
    Sent(
        f"{_MAC} CherryStudio/1.9.4 Chrome/146.0.7680.188 Electron/41.2.1 Safari/537.36",
        "wild: a chat on the desktop",
        ("accept: */*",),
    ),
)
