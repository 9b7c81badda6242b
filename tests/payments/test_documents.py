"""A document that is described once says the same in CSV, in Excel and on paper, and neither loses nor invents a sign."""

from __future__ import annotations

import csv
import io
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zipfile import ZipFile

import pytest
from openpyxl import load_workbook
from openpyxl.workbook import Workbook
from pypdf import PdfReader
from reportlab.pdfbase import pdfmetrics

from payments.finance.document import Cell, Column, Document, Fact, Table
from payments.finance.download import Form, download
from payments.finance.pdf import FOOT, MARGIN, PADDING, as_pdf, bold, plain
from payments.finance.spreadsheet import BOM, as_csv, as_xlsx

AT = datetime(2026, 11, 21, 2, 30, 5, tzinfo=UTC)  # 09:30:05 in Hanoi
COLUMNS = [
    Column("Trả lúc", "moment"),
    Column("Ngày", "day"),
    Column("Mã thanh toán"),
    Column("Nội dung"),
    Column("Số khoản", "number"),
    Column("Số tiền", "money"),
]
NAMES = [
    "Vé tham quan Văn Miếu – Quốc Tử Giám, người lớn × 2",
    "Gửi xe ô tô dưới 9 chỗ, phố Trần Nhân Tông (đoạn từ Quang Trung đến Hồ Ba Mẫu), 3 giờ 20 phút",
    "Gửi xe máy qua đêm",
]
VIETNAMESE = "".join(
    sorted({unicodedata.normalize("NFC", v + tone) for v in "aăâeêioôơuưy" for tone in ("", *"\u0300\u0301\u0303\u0309\u0323")})
) + "bcdđghklmnpqrstvx"  # fmt: skip
PAYLOADS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "a\n=1", "a\r\n=1", "a;=1", "a,=1", "a|=1",
    "a\t=1", "a; =1", "=cmd|' /C calc'!A0", "＝1", "＋1", "－1", "＠a", "\u00a0=1", ";;=1", "\t\t-1",
    '=HYPERLINK("http://evil")', "http://evil.example", "mailto:a@evil.example", "{=SUM(A1:A9)}", "'=1", "_x003D_1+1",
    "0123456789", "1e5", "TRUE", "21/11/2026", "\ufeff=1",
]  # fmt: skip


def listing(count: int, **other: Any) -> Table:
    rows: list[list[Cell]] = [
        [AT + timedelta(minutes=n), date(2026, 11, 21), f"MC{n:06d}", NAMES[n % 3], 1 + n % 4, 30_000 * (1 + n % 7)]
        for n in range(count)
    ]
    total: list[Cell] = ["Tổng cộng", None, f"{count} khoản", None, summed(rows, 4), summed(rows, 5)]
    return Table(**{"title": "Các khoản đã thu", "columns": COLUMNS, "rows": rows, "total": total, **other})


def summed(rows: list[list[Cell]], n: int) -> int:
    return sum(row[n] for row in rows)  # type: ignore[misc]


def statement(*tables: Table, **other: Any) -> Document:
    facts = [Fact("Đơn vị nhận", "Văn Miếu – Quốc Tử Giám"), Fact("Số phải trả", 12_345_000, "money")]
    made = Document(
        title="Sao kê tháng 11", issuer="Một Chạm", made_at=AT, facts=facts, tables=tables, notes=["Hết sao kê."]
    )
    return replace(made, **other)


def one_text(text: str) -> Document:
    return statement(Table("Bảng", [Column("Chữ"), Column("Số tiền", "money")], [[text, 1]]))


def workbook(document: Document) -> Workbook:
    return load_workbook(io.BytesIO(as_xlsx(document)))


def pages(document: Document, language: str = "vi") -> list[str]:
    """What a reader of each page finds, its lines joined."""
    read = PdfReader(io.BytesIO(as_pdf(document, language))).pages
    return [" ".join(page.extract_text().replace("\N{NO-BREAK SPACE}", " ").split()) for page in read]


@dataclass(frozen=True)
class Printed:
    text: str
    left: float
    base: float
    right: float


def printed(document: Document) -> list[list[Printed]]:
    """Every text of every page with the place where it stands."""
    found: list[list[Printed]] = []
    for page in PdfReader(io.BytesIO(as_pdf(document, "vi"))).pages:
        here: list[Printed] = []

        def seen(text: str, _: Any, place: Any, font: Any, size: float, here: list[Printed] = here) -> None:
            if text.strip() and font:
                used = (bold if "SemiBold" in font["/BaseFont"] else plain)(size)
                here.append(Printed(text.strip("\n"), place[4], place[5], place[4] + used.width(text.strip("\n"))))

        page.extract_text(visitor_text=seen)
        found.append(here)
    return found


# --- one description


def test_the_same_figures_stand_in_every_form() -> None:
    table = listing(25)
    document = statement(table)
    on_paper = " ".join(pages(document))
    in_csv = list(csv.reader(io.StringIO(as_csv(document).removeprefix(BOM))))
    sheet = workbook(document).worksheets[1]
    for n, row in enumerate([*table.rows, table.total or []], 2):
        count, amount = row[4], row[5]
        assert isinstance(amount, int)
        assert [str(count), str(amount)] in [line[-2:] for line in in_csv]
        assert [sheet.cell(n, 5).value, sheet.cell(n, 6).value] == [count, amount]
        assert f"{count} {amount:,}".replace(",", ".") + " ₫" in on_paper


def test_a_total_that_is_not_the_sum_is_never_written() -> None:
    good = listing(3)
    assert good.total
    with pytest.raises(ValueError, match="Số tiền: the total is 1, the rows make 180000"):
        listing(3, total=[*good.total[:-1], 1])
    with pytest.raises(ValueError, match="Số khoản"):
        listing(3, total=[*good.total[:4], 7, good.total[5]])
    assert listing(3, total=[*good.total[:-1], None])


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ValueError, match="2 cells under 6 columns"):
        listing(1, rows=[["a", 1]], total=None)


# --- CSV


def test_csv_has_the_whole_document_with_plain_integers_and_hanoi_time() -> None:
    assert as_csv(statement(listing(1))).removeprefix(BOM).split("\r\n") == [
        "Sao kê tháng 11",
        "Một Chạm",
        "Đơn vị nhận,Văn Miếu – Quốc Tử Giám",
        "Số phải trả,12345000",
        "",
        "Các khoản đã thu",
        "Trả lúc,Ngày,Mã thanh toán,Nội dung,Số khoản,Số tiền",
        '2026-11-21 09:30:05,2026-11-21,MC000000,"Vé tham quan Văn Miếu – Quốc Tử Giám, người lớn × 2",1,30000',
        "Tổng cộng,,1 khoản,,1,30000",
        "",
        "Hết sao kê.",
        "",
    ]


def test_a_title_or_a_note_cannot_become_a_formula_in_csv() -> None:
    evil = statement(
        Table("=1", [Column("=2")], [["=3"]]), title="=4", issuer="=5", notes=["=6"], facts=[Fact("=7", "=8")]
    )
    cells = [cell for row in csv.reader(io.StringIO(as_csv(evil).removeprefix(BOM))) for cell in row]
    assert sorted(cells) == [f"'={n}" for n in range(1, 9)]


# --- Excel


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_text_stays_a_text_in_excel(payload: str) -> None:
    evil = statement(
        Table(payload, [Column(payload), Column("Số tiền", "money")], [[payload, 1]], [payload, 1]),
        title=payload,
        issuer=payload,
        notes=[payload],
        facts=[Fact(payload, payload)],
    )
    for sheet in workbook(evil).worksheets:
        for cell in (cell for row in sheet.iter_rows() for cell in row if cell.value is not None and cell.value != 1):
            assert cell.data_type in ("s", "inlineStr")
            assert cell.quotePrefix or cell.value == "Số tiền"
            assert cell.hyperlink is None
    with ZipFile(io.BytesIO(as_xlsx(evil))) as file:
        sheets = "".join(file.read(name).decode() for name in file.namelist() if "worksheets/" in name)
        strings = file.read("xl/sharedStrings.xml").decode()
    assert "<f>" not in sheets and "<f " not in sheets and "hyperlink" not in sheets
    assert "Số tiền" in strings


def test_a_text_in_excel_is_letter_for_letter_what_it_was() -> None:
    texts = [text for text in (*PAYLOADS, *NAMES, VIETNAMESE, "孔子") if "\r" not in text and "_x" not in text]
    table = Table("Bảng", [Column("Chữ")], [[text] for text in texts])
    assert [row[0].value for row in workbook(statement(table)).worksheets[1].iter_rows(min_row=2)] == texts


def test_in_excel_numbers_are_numbers_days_are_days_and_moments_are_on_a_hanoi_clock() -> None:
    sheet = workbook(statement(listing(2))).worksheets[1]
    assert [cell.value for cell in sheet[1]] == [column.heading for column in COLUMNS]
    assert [cell.value for cell in sheet[2]] == [
        datetime(2026, 11, 21, 9, 30, 5), datetime(2026, 11, 21), "MC000000", NAMES[0], 1, 30_000,
    ]  # fmt: skip
    assert [cell.data_type for cell in sheet[2]] == ["d", "d", "s", "s", "n", "n"]
    assert [sheet["F2"].number_format, sheet["B2"].number_format] == ["#,##0", "dd/mm/yyyy"]
    assert sheet.freeze_panes == "A2"
    assert [cell.value for cell in sheet[4]] == ["Tổng cộng", None, "2 khoản", None, 3, 90_000]
    assert sheet["F4"].font.b and not sheet["F3"].font.b
    assert 20 < sheet.column_dimensions["D"].width <= 61


def test_a_number_that_excel_would_round_and_a_text_that_it_would_cut_are_told_so() -> None:
    long = Table(
        "Dài", [Column("Số", "number"), Column("Chữ")], [[10**15 + 1, "a" * 40_000], [10**15 - 1, "b" * 16_000]]
    )
    sheet = workbook(statement(long)).worksheets[1]
    assert [cell.value for cell in sheet[2]] == ["1000000000000001", "a" * 16_000 + " […]"]
    assert [cell.value for cell in sheet[3]] == [999_999_999_999_999, "b" * 16_000]


def test_any_title_is_the_name_of_a_sheet() -> None:
    titles = ["a/b:c*[d]?\\", "'x'", "History", "", "Các khoản " * 9, "Các khoản " * 9, "🚗" * 40]
    names = workbook(statement(*(listing(1, title=title) for title in titles))).sheetnames
    assert len(names) == len(set(names)) == 8
    assert names[:4] == ["1. Sao kê tháng 11", "2. a b c  d", "3. 'x", "4. History"]


# --- paper


def test_every_row_and_every_word_is_on_paper() -> None:
    document = statement(listing(120))
    read = pages(document)
    whole = " ".join(read)
    for row in document.tables[0].rows:
        assert f"{row[2]} " in whole
    for text in (
        "Sao kê tháng 11",
        "Đơn vị nhận",
        "12.345.000 ₫",
        "21/11/2026 09:30",
        NAMES[0],
        "Tổng cộng",
        "Hết sao kê.",
    ):
        assert text in whole
    assert len(read) > 2
    for n, page in enumerate(read, 1):
        assert f"Trang {n}/{len(read)}" in page
        assert "Một Chạm" in page and "Sao kê tháng 11" in page and "Lập lúc 21/11/2026 09:30" in page
        assert page.count("Mã thanh toán") == 1


def test_the_reader_of_english_finds_english_figures_and_words() -> None:
    (page,) = pages(statement(listing(3)), "en")
    assert "12,345,000 ₫" in page and "21 Nov 2026 09:30" in page and "Page 1/1" in page


def test_no_row_is_on_two_pages_and_the_total_is_never_alone() -> None:
    for count in range(14, 30):  # around the end of the first page
        read = pages(statement(listing(count)))
        for n in range(count):
            (page,) = [page for page in read if f"MC{n:06d}" in page]
            assert NAMES[n % 3] in page
        assert f"MC{count - 1:06d}" in next(page for page in read if "Tổng cộng" in page)


def test_money_stands_under_money_and_nothing_leaves_its_frame() -> None:
    long = listing(90, columns=[*COLUMNS[:3], Column("Nội dung " * 6), *COLUMNS[4:]])
    read = printed(statement(long, facts=[], notes=["không dấu cách " + "x" * 900]))
    amounts = [text for page in read for text in page if text.text.endswith("₫")]
    assert len({round(text.left) for text in amounts}) > 1
    assert {round(text.right) for text in amounts} == {round(595.3 - MARGIN - PADDING)}
    for page in read:
        for text in page:
            assert text.left >= MARGIN and text.right <= 595.3 - MARGIN
            assert text.base > FOOT or text.text.startswith(("Trang", "Lập"))


@pytest.mark.parametrize(
    "text", ["ký tự " * 1_500, "x" * 4_000, "dòng\n" * 200, "\n".join(["một dòng dài hơn cột " * 9] * 40)]
)
def test_a_text_longer_than_a_page_goes_on_on_the_next(text: str) -> None:
    wide = [Column(f"Cột {n}", "money") for n in range(9)]
    for table in (
        Table("Bảng", [Column("Chữ"), Column("Số tiền", "money")], [["trước", 1], [text, 2], ["sau", 3]], [None, 6]),
        Table("Bảng", [Column("Chữ"), *wide], [[text, *[10**9] * 9]]),
    ):
        document = statement(table)
        letters = "".join(pages(document)).replace(" ", "")
        for sign in set(text) - {" ", "\n"}:
            assert letters.count(sign) >= text.count(sign)
        assert all(t.base > FOOT or t.text.startswith(("Trang", "Lập")) for page in printed(document) for t in page)


def test_no_amount_is_broken_for_the_rounding_of_its_own_width() -> None:
    for amount in range(1_000, 90_000_000, 123_457):
        said = f"{amount:,} ₫"
        assert bold(8.5).wrapped(said, bold(1.0).width(said) * 8.5) == [said]


def test_a_wide_table_lies_across_and_no_figure_is_broken() -> None:
    amounts = [Column(f"Số tiền {n}", "money") for n in range(9)]
    table = Table("Bảng", [Column("Nội dung"), *amounts], [[NAMES[1], *[123_456_789] * 9]] * 3)
    (page,) = pages(statement(table))
    assert page.count("123.456.789 ₫") == 27
    media = PdfReader(io.BytesIO(as_pdf(statement(table), "vi"))).pages[0].mediabox
    assert media.width > media.height


def test_a_table_without_rows_says_its_headings_and_its_zero() -> None:
    (page,) = pages(statement(listing(0)))
    assert "Số tiền" in page and "0 khoản" in page and "0 ₫" in page
    (page,) = pages(statement(listing(0, total=None), notes=[]))
    assert "Mã thanh toán" in page
    assert workbook(statement(listing(0))).worksheets[1]["F2"].value == 0


def test_the_font_has_every_vietnamese_letter_and_is_in_the_file() -> None:
    for text in (VIETNAMESE, VIETNAMESE.upper(), unicodedata.normalize("NFD", VIETNAMESE), "₫ – × “ ” … · ≤"):
        assert unicodedata.normalize("NFC", text).replace(" ", "") in "".join(pages(one_text(text))).replace(" ", "")
    for font in (plain(9), bold(9)):
        known = pdfmetrics.getFont(font.name).face.charToGlyph
        assert not [sign for sign in VIETNAMESE + VIETNAMESE.upper() + "₫" if ord(sign) not in known]
    for font in PdfReader(io.BytesIO(as_pdf(one_text(VIETNAMESE), "vi"))).pages[0]["/Resources"]["/Font"].values():
        described = font.get_object().get("/FontDescriptor")
        assert described is None or "/FontFile2" in described.get_object()


def test_a_sign_that_the_font_lacks_is_told_by_its_number_and_the_document_says_so() -> None:
    (page,) = pages(one_text("孔子 🚗 a\u202eb\u0007"))
    assert "[U+5B54][U+5B50] [U+1F697] a[U+202E]b[U+0007]" in page
    assert "Ký tự mà phông chữ của tài liệu này không có" in page
    (page,) = pages(one_text("Khổng Tử"))
    assert "phông chữ" not in page


def test_a_document_made_again_is_the_same_bytes() -> None:
    document = statement(listing(60))
    first, second = as_pdf(document, "vi"), as_pdf(statement(listing(60)), "vi")
    assert first == second
    assert as_xlsx(document) == as_xlsx(statement(listing(60)))
    said = PdfReader(io.BytesIO(first)).metadata
    assert said and said.title == "Sao kê tháng 11" and said.author == "Một Chạm"
    assert said.creation_date == AT
    assert as_pdf(replace(document, made_at=AT + timedelta(seconds=1)), "vi") != first


def test_five_thousand_rows_stay_in_bounds() -> None:
    rows: list[list[Cell]] = [[f"MC{n:06d}", 1_000 * n] for n in range(5_000)]
    document = statement(Table("Mã", [COLUMNS[2], COLUMNS[5]], rows, ["Tổng cộng", summed(rows, 1)]))
    content = as_pdf(document, "vi")
    read = PdfReader(io.BytesIO(content)).pages
    assert "MC000000" in read[0].extract_text()
    assert "MC004999" in read[-1].extract_text() and f"Trang {len(read)}/{len(read)}" in read[-1].extract_text()
    assert len(content) < 1_000_000 and len(as_xlsx(document)) < 1_000_000


# --- the answer


@pytest.mark.parametrize(
    ("form", "media_type", "begins"),
    [
        ("csv", "text/csv; charset=utf-8", BOM.encode()),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
        ("pdf", "application/pdf", b"%PDF"),
    ],
)
async def test_a_download_is_private_and_has_a_safe_name(form: Form, media_type: str, begins: bytes) -> None:
    answer = await download(statement(listing(2)), form, 'Sao kê "Đường" 11/2026\r\nx: y', "vi")
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="Sao-ke-Duong-11-2026-x-y.{form}"'
    assert answer.headers["cache-control"] == "private, no-store"
    assert bytes(answer.body).startswith(begins)
