"""A form that was refused comes back as it was filled in."""

from __future__ import annotations

import httpx
import pytest
from acts import log_in

from foundation.refill import filled

PAGE = """<!doctype html><p>a < b &amp; c</p>
<a href="?n=2&amp;q=1">next</a>
<details class="fold"><summary>more</summary><form method="post" action="/act?side=line">
<input type="hidden" name="csrf" value="old"><input type="hidden" name="item" value="1">
<input type="checkbox" name="item" value="2" checked><input type="checkbox" name="item" value="3">
<input name="reason" value="" required><input type="password" name="secret" value="">
<select name="what"><option value="a" selected>A</option><option value="b">B</option></select>
<textarea name="note">was
</textarea><input type="radio" name="way" value="x"><input type="radio" name="way" value="y" checked>
<button>Go</button><button formaction="/other">Other</button></form></details>
<form method="post" action="/act?side=line"><input type="hidden" name="item" value="9"><input name="reason" value="mine"></form>
<form method="post"><input name="reason"></form>"""
TYPED = {
    "csrf": ["new"],
    "item": ["1", "3"],
    "reason": ['"><script>alert(1)</script>'],
    "secret": ["s"],
    "what": ["b"],
    "note": ["</textarea>\n&"],
    "way": ["x"],
}


@pytest.mark.parametrize("sent_to", ["/act?side=line", "/other"])
def test_what_was_sent_stands_in_its_form_and_in_no_other(sent_to: str) -> None:
    page = filled(PAGE, "/list?q=1", sent_to, TYPED)
    assert '<a href="/list?n=2&amp;q=1">' in page, "said in full, for the browser stands elsewhere"
    back = '<input type="hidden" name="back" value="/list?q=1">'
    assert f'<form method="post" action="/list?q=1">{back}<input name="reason"></form>' in page
    assert page.count(back) == 3, "refused again, the page still knows where it stood"
    assert '<details class="fold" open>' in page
    assert '<input type="hidden" name="csrf" value="old"><input type="hidden" name="item" value="1">' in page
    assert '<input type="checkbox" name="item" value="2"><input type="checkbox" name="item" value="3" checked>' in page
    assert 'value="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in page and "<script" not in page
    assert '<input type="password" name="secret" value="">' in page
    assert '<option value="a">A</option><option value="b" selected>B</option>' in page
    assert '<textarea name="note">&lt;/textarea&gt;\n&amp;</textarea>' in page
    assert '<input type="radio" name="way" value="x" checked><input type="radio" name="way" value="y">' in page
    assert '<input name="reason" value="mine">' in page, "the other form is about another item"
    assert page.startswith("<!doctype html><p>a < b &amp; c</p>")


async def test_a_refused_form_is_answered_with_its_page_where_the_browser_says_which(client: httpx.AsyncClient) -> None:
    await log_in(client, "ketoan@vanmieu")
    page = "/finance/contracts/new?service=ticketing"
    asked = await client.get(f"{page}&lang=en")
    assert asked.headers["referrer-policy"] == "same-origin"
    sent = {"csrf": "expired", "key": "k" * 20, "service": "ticketing", "paper": "07/2030 & Co"}
    back = await client.post("/finance/contracts", data=sent, headers={"referer": f"http://test.local{page}"})
    assert back.status_code == 403
    assert 'id="refused" tabindex="-1" autofocus' in back.text and "This form is no longer valid" in back.text
    for elsewhere in (
        None,
        "http://evil.example/finance/contracts",
        "http://test.local/nothing",
        "http://test.local/T/X",
    ):
        plain = await client.post("/finance/contracts", data=sent, headers={"referer": elsewhere} if elsewhere else {})
        assert plain.status_code == 403 and 'id="refused"' not in plain.text
    assert (
        await client.post("/finance/contracts", data=sent, headers={"referer": "http://test.local/finance/x"})
    ).status_code == 403
