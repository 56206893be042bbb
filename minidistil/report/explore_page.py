"""One page with the inside of a model on a text: a lecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minidistil.distill.vocabulary import check_same_ids, saved_tokenizer
from minidistil.errors import UsageError
from minidistil.losses.soft_labels import check_temperature
from minidistil.model import load_model, load_to_answer
from minidistil.model.heads import Head
from minidistil.model.model import Model
from minidistil.report.explore import Lesson, Reading, look_inside, teach
from minidistil.report.page import Page, write_page
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.hub import resolve


def write_explore_page(
    model: str | Path,
    text: str,
    out: str | Path = "explore.html",
    *,
    pair: str | None = None,
    teacher: str | Path | None = None,
    terms: Mapping[str, float] | None = None,
    temperature: float = 2.0,
    label: int | None = None,
    max_length: int | None = None,
    templates: str | Path | None = None,
) -> Path:
    """Write the page of a model, or of a student and its teacher, on a text.

    Parameters
    ----------
    model : str or Path
        Directory or hub id.
    text : str
    out : str or Path
        File to write.
    pair : str, optional
        The second text.
    teacher : str or Path, optional
        A model with the same vocabulary, which is shown beside it; then the model is its student.
    terms : mapping of str to float, optional
        Weights of the terms of the objective. By default every term that fits, with a weight of 1.
    temperature : float
        Of the soft labels, where the slider stands at first.
    label : int, optional
        Number of the text's right class, for the term `hard`.
    max_length : int, optional
        Most tokens, up to 128; 64 by default.
    templates : str or Path, optional
        Folder of templates that go before the package's.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    UsageError
        A label or terms without a teacher; a temperature that is not positive; more tokens than a page shows.
    ConfigError
        Two vocabularies; terms that do not fit the models; more tokens than a model has positions.
    InputError
        No text; a label that is no class.
    WeightsError
        A head that was never trained.
    """
    check_temperature(temperature)
    if teacher is None and (terms or label is not None):
        raise UsageError("terms and labels are those of a distillation: say --teacher MODEL, too")
    page = Page("explore.html", templates)
    student = _load(load_model(model, quiet=True))
    head = student.heads[0] if student.heads else Head()
    if label is not None and (head.by_token or not head.classes()):
        raise UsageError(f"a label is the class of a text; {type(student).__name__} does not classify texts")
    models, names = [student], [Path(model).resolve().name]
    tokenizer = saved_tokenizer(resolve(model)) if teacher else Tokenizer.from_pretrained(resolve(model))
    if teacher is not None:
        models.append(_load(load_to_answer(teacher)))
        names = [f"Student: {names[0]}", f"Teacher: {Path(teacher).resolve().name}"]
        theirs = Tokenizer.from_pretrained(resolve(teacher))
        tokenizer = tokenizer or theirs
        texts = [text] if pair is None else [text, pair]
        check_same_ids(tokenizer, theirs, texts, names=(str(model), str(teacher)))
    assert tokenizer is not None
    tokenizer = fit_tokenizer(tokenizer, min((m.config for m in models), key=lambda c: c.vocab_size))
    reading = Reading.of(tokenizer, models, text, pair, max_length=max_length)
    if label is not None:
        reading = reading.with_label(label)
    sides = [look_inside(m, reading, name) for m, name in zip(models, names, strict=True)]
    lesson: Lesson | None = None
    if len(models) == 2:
        lesson = teach(
            student, models[1], reading, (sides[0], sides[1]), terms or None, temperature=temperature
        )
    html = page.render(
        title=f"{Path(model).resolve().name}: explored by minidistil",
        interactive=True,
        reading=reading,
        sides=sides,
        lesson=lesson,
    )
    return write_page(out, html)


def _load(model: Model) -> Model:
    """The model, if every head that gives scores was trained."""
    model.check_trained([head for head in model.heads if head.score_outputs])
    return model
