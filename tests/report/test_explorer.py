"""The explorer in a real Chromium: counts equal the data, filters, search, keyboard, links, hostile texts, sizes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.evaluate.judge.people import pair_id
from distil.evaluate.scoring import score_all
from distil.pages.document import scripts
from distil.records import Message, Prediction, Prompt, Score, Verdict
from distil.report import page
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records, write_records
from distil.runs.schemas.judge import Preference
from tests.report.chrome import Browser, Tab, open_browser
from tests.report.sample import make_project

pytestmark = pytest.mark.browser
ATTACK = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("chrome")) as found:
        yield found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("explorer")
    return make_project(folder / "p", train=40, test=120, students=("sft", "logits"), right={"sft": 0.7})


@pytest.fixture(scope="module")
def built(project: Project) -> str:
    return page.build(project).as_uri()


def values(project: Project, name: str) -> dict[str, dict[str, float]]:
    """Model -> prompt id -> the value that decides."""
    found: dict[str, dict[str, float]] = {}
    for score in read_records(project.scores(name), Score):
        if score.metric == "field_accuracy":
            found.setdefault(score.model, {})[score.prompt_id] = score.value
    return found


def chips(tab: Tab) -> dict[str, int]:
    found = tab.run("[...document.querySelectorAll('.chip')].map((c) => [c.textContent, c.dataset.chip])")
    return {key: int(text.split()[-1].replace(",", "")) for text, key in found if text.split()[-1].isdigit()}


def click(tab: Tab, selector: str) -> None:
    tab.run(f"document.querySelector({selector!r}).click()")


def change(tab: Tab, element: str, value: str, event: str) -> None:
    """Sets a field's value as a person does."""
    script = (
        f"const e = document.getElementById('{element}'); e.value = {value!r}; e.dispatchEvent(new Event('{event}'))"
    )
    tab.run(f"(() => {{ {script} }})()")


def status(tab: Tab) -> str:
    return str(tab.run("document.getElementById('status').textContent"))


def test_every_count_is_that_of_the_scores(browser: Browser, project: Project, built: str) -> None:
    scores = values(project, "logits")
    mine, other = scores["logits"], scores["teacher"]
    with browser.page(built) as tab:
        shown = chips(tab)
        assert shown["o-all"] == len(mine) == 120
        assert shown["o-only_student"] == sum(mine[p] < 1 and other[p] == 1 for p in mine) > 0
        assert shown["o-both"] == sum(mine[p] < 1 and other[p] < 1 for p in mine)
        assert shown["o-right"] == sum(mine[p] == 1 for p in mine)
        click(tab, "[data-chip=o-only_student]")
        assert status(tab).startswith(f"{shown['o-only_student']} of 120")
        option = tab.run("[...document.getElementById('subject').options].find((o) => o.text === 'sft').value")
        change(tab, "subject", option, "change")
        mine = values(project, "sft")["sft"]
        assert chips(tab)["o-only_student"] == sum(mine[p] < 1 and other[p] == 1 for p in mine)
        assert tab.complaints() == []


def test_search_finds_the_prompt_and_keys_move_through_the_list(browser: Browser, project: Project, built: str) -> None:
    examples = list(read_examples(project.split("test")))
    wanted = examples[7].prompt_messages[-1].text
    with browser.page(built) as tab:
        tab.run("document.getElementById('list').focus()")
        tab.press("/")
        assert tab.run("document.activeElement.id") == "find"
        change(tab, "find", wanted.upper(), "input")
        tab.wait("document.getElementById('status').textContent.startsWith('1 of')")
        assert tab.run("document.querySelector('.asked').textContent") == wanted
        tab.press("Escape")
        tab.press("Escape")
        assert status(tab) == "120 prompts"
        first = tab.run("document.querySelector('.about .id').textContent")
        tab.press("Home")
        tab.press("j")
        tab.press("j")
        assert tab.run("document.querySelector('[aria-selected=true]').dataset.n") == "2"
        tab.press("k")
        assert tab.run("document.getElementById('list').getAttribute('aria-activedescendant')") == "row-1"
        tab.press("Enter")
        assert tab.run("document.activeElement.id") == "reader"
        assert first.startswith("prompt_")


def test_a_link_opens_one_prompt(browser: Browser, project: Project, built: str) -> None:
    key = list(read_examples(project.split("test")))[50].prompt_id
    with browser.page(f"{built}#p={key}") as tab:
        assert tab.run("document.querySelector('.about .id').textContent") == key
        assert tab.run("document.querySelector('[aria-selected=true] .line').textContent")
    with browser.page(f"{built}#p=nothing") as tab:
        assert "no prompt nothing" in status(tab)


def test_wrong_fields_are_marked_and_only_those(browser: Browser, project: Project, built: str) -> None:
    with browser.page(built) as tab:
        click(tab, "[data-chip=o-only_student]")
        rows = tab.run(
            "[...document.querySelectorAll('.fields tbody tr')]"
            ".map((r) => [...r.children].map((c) => [c.textContent, c.className]))"
        )
        names = tab.run("[...document.querySelectorAll('.fields thead th')].map((c) => c.textContent)")
        column = next(n for n, name in enumerate(names) if name.startswith("logits"))
        assert names[:2] == ["field", "reference"]
        marked = {row[0][0] for row in rows if row[column][1] == "wrong"}
        assert marked == {row[0][0] for row in rows if row[column][0].removeprefix("✗ ") != row[1][0]} != set()


def replace_answers(project: Project, name: str, texts: dict[int, str]) -> None:
    """Other answers of a student for some prompts of the file, scored by the product."""
    examples = list(read_examples(project.split("test")))
    number = {example.prompt_id: n for n, example in enumerate(examples)}
    path = project.predictions(name)
    rows = [
        row.model_copy(update={"text": texts.get(number[row.prompt_id], row.text)}) if row.model == name else row
        for row in read_records(path, Prediction)
    ]
    write_records(path, rows)
    by_model: dict[str, list[Prediction]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    names = ["exact_match", "rouge_l", "field_accuracy", "number_mismatch"]
    write_records(project.scores(name), score_all(examples, by_model, names).scores)


def test_hostile_and_invisible_texts_are_shown_and_never_run(browser: Browser, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=12, students=("sft",))
    hostile = {
        0: ATTACK,
        1: "",
        2: "  \n ",
        3: "a\x00b\x1b[31mc\u202ed\u200be",
        4: "مرحبا بالعالم",
        5: "今天天气很好",
        6: "👩\u200d👩\u200d👧 fine",
    }
    replace_answers(project, "sft", hostile)
    path = page.build(project)
    raw = path.read_bytes()
    assert not set(raw) & {*range(9), 11, *range(13, 32)}
    examples = list(read_examples(project.split("test")))
    with browser.page(path.as_uri()) as tab:
        seen = {}
        for number in hostile:
            tab.run(f"location.hash = 'p={examples[number].prompt_id}'")
            tab.wait(f"document.querySelector('.about .id').textContent === '{examples[number].prompt_id}'")
            seen[number] = tab.run("document.querySelector('#reader .answers').innerText")
        assert ATTACK in seen[0]
        assert "empty" in seen[1] and "only white space" in seen[2]
        for name in ("NUL", "ESC", "right-to-left override", "zero width space"):
            assert name in seen[3]
        assert "joiner" not in seen[6]
        tab.run(f"location.hash = 'p={examples[4].prompt_id}'")
        tab.wait(f"document.querySelector('.about .id').textContent === '{examples[4].prompt_id}'")
        assert tab.run("getComputedStyle(document.querySelector('#reader .answers .said')).direction") == "rtl"
        assert tab.run("document.title") == "support triage: Distil report"
        assert tab.complaints() == []


def prose_project(folder: Path, count: int, words: int) -> Project:
    """`count` prompts whose answers are random words: the rows of a small project, written again and again."""
    project = make_project(folder, train=40, test=20, students=("sft",))
    luck = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(luck.choices(letters, k=luck.randint(2, 9))) for _ in range(3000)]

    def prose() -> str:
        return " ".join(luck.choices(vocabulary, k=words))

    examples = list(read_examples(project.split("test")))
    answers = [row for row in read_records(project.predictions("sft"), Prediction) if row.model != "base"]
    first = examples[0]
    few = {row.model: row for row in answers if row.prompt_id == first.prompt_id}
    keys = [f"prompt_{n:020x}" for n in range(count)]
    turn = Message(role="assistant", content=prose())
    lines = [e.model_copy(update={"prompt_id": key, "messages": [*e.prompt_messages, turn], "reference": None})
             for key, e in zip(keys, itertools.cycle(examples), strict=False)]  # fmt: skip
    write_records(project.split("test"), lines)
    rows = [row.model_copy(update={"prompt_id": key, "text": prose()}) for key in keys for row in few.values()]
    write_records(project.predictions("sft"), rows)
    return project


def test_five_thousand_prompts_fit_into_five_megabytes(browser: Browser, tmp_path: Path) -> None:
    project = prose_project(tmp_path / "p", 5000, 60)
    path = page.build(project)
    assert path.stat().st_size < 5_000_000
    with browser.page(path.as_uri()) as tab:
        assert status(tab) == "5,000 prompts"
        assert tab.run("document.querySelectorAll('#list [role=option]').length") < 60
        tab.run("document.getElementById('list').focus()")
        tab.press("End")
        assert tab.run("document.querySelector('[aria-selected=true]').dataset.n") == "4999"


def test_very_long_answers_are_cut_and_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=20, students=("sft",))
    long = "The answer goes on and on. " * 8_600
    replace_answers(project, "sft", dict.fromkeys(range(20), long))
    path = page.build(project)
    assert path.stat().st_size < 1_000_000
    with browser.page(path.as_uri()) as tab:
        assert "more characters are left out" in tab.run("document.getElementById('reader').innerText")
        assert "cut here" in tab.run("document.querySelector('#answers .lead').innerText")


def test_a_browser_that_can_not_unpack_says_what_to_type(browser: Browser, built: str) -> None:
    with browser.page(built, first="delete window.DecompressionStream") as tab:
        assert "distil view answers" in tab.run("document.getElementById('no-explorer').innerText")
        assert tab.run("document.getElementById('explorer').hidden") is True


def test_a_word_difference_loses_nothing_of_either_text(browser: Browser, built: str) -> None:
    luck = random.Random(3)
    pairs = [
        [" ".join(luck.choices(["a", "b", "c,", "d\n", "e"], k=luck.randint(0, 30))) for _ in "ab"] for _ in range(60)
    ]
    pairs += [["the red kettle leaks", "the blue kettle leaks"], ["今天天气很好我们去公园", "今天天气很好我们去商店"]]
    with browser.page(built) as tab:
        source = scripts("diff.js")
        found = tab.run(f"(() => {{ {source}; return {pairs!r}.map(([a, b]) => wordDiff(a, b)); }})()")
    blank = str.maketrans("", "", " \n")
    marked = 0
    for (target, answer), parts in zip(pairs, found, strict=True):
        if parts is None:
            continue
        marked += 1
        assert "".join(text for kind, text in parts if kind != "gone") == answer
        assert "".join(t for kind, t in parts if kind != "new").translate(blank) == target.translate(blank)
    assert marked > 20
    assert [part for part in found[-2] if part[0] != "same"] == [["gone", "red"], ["new", "blue"]]
    assert ["gone", "公园"] in found[-1] and ["new", "商店"] in found[-1]


def test_a_conversation_shows_its_turns(tmp_path: Path, browser: Browser) -> None:
    project = make_project(tmp_path / "p", train=40, test=12, students=("sft",))
    examples = list(read_examples(project.split("test")))
    turns = [
        Message(role="user", content="first"),
        Message(role="assistant", content="second"),
        Message(role="user", content="third"),
    ]
    talk = Prompt.make(turns)
    changed = examples[0].model_copy(update={"messages": [*talk.messages, examples[0].messages[-1]]})
    write_records(project.split("test"), [changed, *examples[1:]])
    with browser.page(f"{page.build(project).as_uri()}#p={changed.prompt_id}") as tab:
        assert tab.run("[...document.querySelectorAll('#reader .turn b')].map((b) => b.textContent)") == [
            "user",
            "assistant",
            "user",
        ]


def test_what_people_and_the_judge_said_stands_beside_the_answer(browser: Browser, tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", train=40, test=12, students=("sft",))
    example = next(iter(read_examples(project.split("test"))))
    mine = next(
        p for p in read_records(project.predictions("sft"), Prediction)
        if p.model == "sft" and p.prompt_id == example.prompt_id
    )  # fmt: skip
    pair = pair_id(example.prompt_id, mine.text, example.answer)
    said = Preference(pair_id=pair, prompt_id=example.prompt_id, preferred="teacher", reason="names the order")
    write_records(project.people, [said])
    judged = Score(
        prediction_id=mine.id, prompt_id=mine.prompt_id, model="sft", metric="judge", value=0.0, detail="B is vague"
    )
    write_records(project.scores("sft"), [*read_records(project.scores("sft"), Score), judged])
    keep = Verdict(
        answer_id=example.answer_id or "", prompt_id=example.prompt_id, filter="person", keep=True, reason="fine"
    )
    write_records(project.marks, [keep])
    with browser.page(f"{page.build(project).as_uri()}#p={example.prompt_id}") as tab:
        text = tab.run("document.getElementById('reader').innerText")
    assert "a person prefers, sft: the teacher" in text and "names the order" in text
    assert "B is vague" in text
    assert "A person kept this. fine" in text
