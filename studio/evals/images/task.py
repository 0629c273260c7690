"""Scoring a model that makes pictures: have them drawn, look at them, hold them against real ones, show them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.errors import UserError
from studio.core.records import Difference, Score
from studio.data.images.rows import ImageRow
from studio.evals.images.catalogue import metric_for, within_bounds
from studio.evals.images.classifier import ClassifierSettings, StudioClassifier, classifier_for
from studio.evals.images.clip import ClipScorer, find_clip
from studio.evals.images.corpus import Corpus, orders_of, read_corpus
from studio.evals.images.drawing import Gallery, draw
from studio.evals.images.inception import find_weights
from studio.evals.images.marks import real_mark
from studio.evals.images.measure import Findings, Sight, Yardstick, measure
from studio.evals.images.network import FeatureNetwork, Inception, fit, noise_pictures
from studio.evals.images.reference import Eyes
from studio.evals.images.remarks import examples, limits, remarks
from studio.evals.images.sampling import Order, RealPictures, file_name
from studio.evals.images.showing import Shown, panels_of
from studio.evals.metrics.base import Metric
from studio.evals.scoring import difference, score, without_value
from studio.evals.task import TaskContext, TaskResult
from studio.schema.image_scores import ImagesTask

# Above this many pictures (with as many features) the eigenvalues of one resample take seconds.
_LARGE_SET = 1000
_FEWEST_RESAMPLES = 50


def run(context: TaskContext[ImagesTask]) -> TaskResult:
    """Measure made pictures.

    Raises:
        NotComputedError: the model makes no pictures, or the dataset holds none.
        UserError: too few pictures for what was asked.
    """
    task = _limited(context.task)
    corpus = read_corpus(context, task)
    orders = orders_of(task, corpus, context.seed)
    made = tempfile.TemporaryDirectory(prefix="studio-pictures-")
    gallery = draw(context, task, orders, Path(made.name))
    eyes, notes = open_eyes(context, task, corpus)
    yardstick, sights = look(context, corpus, orders, gallery, eyes)
    findings = {label: measure(sight, yardstick, task) for label, sight in sights.items()}
    mark = real_mark(yardstick, task, len(orders), context.seed)
    if mark is not None:
        findings["real"] = mark.findings
    metrics = [metric_for(name, eyes.network, _made_with(name, task, eyes, gallery)) for name in task.metrics]
    scores = {label: _scores(metrics, found, context, task, len(orders)) for label, found in findings.items()}
    models = [label for label in ("tuned", "base") if label in gallery.albums]

    def write_files(folder: Path) -> None:
        """Put the made pictures beside the page."""
        for label, album in gallery.albums.items():
            target = folder / "samples" / task.key / label
            target.mkdir(parents=True)
            for index in range(len(album)):
                (target / file_name(index)).write_bytes(album.path(index).read_bytes())
        made.cleanup()

    return TaskResult(
        scores={label: scores[label] for label in models},
        differences=_differences(metrics, findings, context, task) if "base" in models else [],
        examples=examples(orders, gallery, sights, findings, corpus, eyes, task.key),
        notes=[*gallery.notes, *notes, *remarks(task, corpus, orders, findings, mark.note if mark else None)],
        limits=limits(eyes),
        panels=panels_of(Shown(task, orders, gallery, corpus, metrics, scores, findings)),
        write_files=write_files,
        about=gallery.about,
        data=_asked(task, corpus),
        marks={label: scores[label] for label in ("real", "noise") if label in scores},
        rows=len(orders),
        title="Pictures",
    )


def _asked(task: ImagesTask, corpus: Corpus) -> dict[str, Any]:
    """Which dataset, which of its captions were asked for, and what the pictures were compared with."""
    data: dict[str, Any] = {"path": str(corpus.folder), "name": corpus.name, "fingerprint": corpus.fingerprint}
    if task.prompts.texts:
        data["prompts"] = len(task.prompts.texts)
    else:
        rows = len(corpus.splits[task.prompts.split])
        data |= {"split": task.prompts.split, "rows": min(task.samples, rows), "rows_in_split": rows}
    return data | {"reference": f"{len(corpus.reference)} pictures of the split {task.reference}"}


def _limited(task: ImagesTask) -> ImagesTask:
    """``--limit`` makes fewer pictures; what then cannot be computed is refused before anything is made."""
    if task.limit is None or task.limit >= task.samples:
        return task
    values = task.model_dump() | {"samples": task.limit}
    try:
        return ImagesTask.model_validate(values)
    except ValueError as error:
        reason = str(error).partition("Value error, ")[2].partition(" [type=")[0] or str(error)
        raise UserError(f"--limit {task.limit} makes {task.limit} pictures, and {reason}") from error


def open_eyes(context: TaskContext[ImagesTask], task: ImagesTask, corpus: Corpus) -> tuple[Eyes, list[str]]:
    """The networks that look (Inception where its file is, else the studio's classifier), and what the reader must know."""
    from studio.models.device import pick_device

    device, notes = str(pick_device()), []
    weights = find_weights(task.inception_weights)
    network: FeatureNetwork | None = Inception(weights, device) if weights else None
    classifier = None
    if network is None or {"coverage", "label_accuracy"} & set(task.metrics):
        classifier = _classifier(context, task, corpus, device)
    if network is None:
        network = classifier
        if classifier is not None:
            notes.append(
                f"The reference Inception weights are not on this machine, so these scores were made with "
                f"{classifier.describe()}. They carry its name and compare with nothing made by another network."
            )
    if network is not None and not network.reference and network is not classifier:
        notes.append(f"{network.name} is not the reference network: its scores compare only with scores of the same weights.")
    if classifier is not None and classifier.record.accuracy is not None and classifier.record.accuracy < task.least_accuracy:
        notes.append(
            f"The studio's classifier names only {classifier.record.accuracy:.0%} of held-out pictures right "
            f"({classifier.record.majority:.0%} by always naming the most frequent label): its scores say little."
        )
    source = find_clip(task.clip) if "clip_score" in task.metrics else None
    clip = ClipScorer(source, device) if source else None
    return Eyes(
        network, classifier, clip, task.pixel_side, task.batch_size, context.workspace.root / "cache" / "image-features"
    ), notes


def _classifier(context: TaskContext[ImagesTask], task: ImagesTask, corpus: Corpus, device: str) -> StudioClassifier | None:
    """The classifier of this corpus, trained now or before; None where the corpus has fewer than 2 labels."""

    def labelled(rows: Sequence[ImageRow]) -> list[tuple[Any, str]]:
        pictures = RealPictures(corpus.folder, rows, (task.classifier.side, task.classifier.side))
        return [
            ((lambda place=index: pictures.open(place)), row.label) for index, row in enumerate(rows) if row.label is not None
        ]

    training = labelled(corpus.training)
    if len({label for _, label in training}) < 2:
        return None
    settings = ClassifierSettings(**task.classifier.model_dump())
    held_out = [row for name in ("validation", "test") for row in corpus.splits.get(name, [])]
    with context.bar("studio classifier", settings.epochs) as advance:
        return classifier_for(
            context.workspace.root / "classifiers",
            corpus.fingerprint,
            training,
            labelled(held_out),
            settings,
            device=device,
            advance=advance,
        )


def look(
    context: TaskContext[ImagesTask], corpus: Corpus, orders: Sequence[Order], gallery: Gallery, eyes: Eyes
) -> tuple[Yardstick, dict[str, Sight]]:
    """See the real pictures, the made ones, and noise."""
    real = {
        name: RealPictures(corpus.folder, rows, gallery.size)
        for name, rows in (("training", corpus.training), ("reference", corpus.reference), ("held out", corpus.held_out))
    }
    prompts, labels = [order.prompt for order in orders], [order.label for order in orders]
    noise = noise_pictures(len(orders), gallery.size, context.seed)
    same = corpus.reference == corpus.training
    total = sum(map(len, real.values())) - (len(real["reference"]) if same else 0)
    with context.bar("looking", total + len(orders) * (len(gallery.albums) + 1)) as advance:
        training = eyes.look_at_real(real["training"], corpus.fingerprint, advance=advance)
        held_out = eyes.look_at_real(real["held out"], corpus.fingerprint, with_clip=True, advance=advance)
        reference = training if same else eyes.look_at_real(real["reference"], corpus.fingerprint, advance=advance)
        sights = {
            label: eyes.look((fit(picture, gallery.size) for picture in album), prompts=prompts, labels=labels, advance=advance)
            for label, album in gallery.albums.items()
        }
        sights["noise"] = eyes.look(noise, prompts=prompts, labels=labels, advance=advance)
    known = {row.label for row in corpus.reference} if eyes.classifier else set()
    wanted = [place for place, label in enumerate(eyes.classifier.record.labels if eyes.classifier else []) if label in known]
    return Yardstick(reference, training, held_out, np.array(wanted, dtype=np.intp)), sights


def _scores(
    metrics: Sequence[Metric], found: Findings, context: TaskContext[ImagesTask], task: ImagesTask, asked: int
) -> list[Score]:
    """Values with intervals; the reason where there is none."""
    results = []
    for name, metric in zip(task.metrics, metrics, strict=True):
        statistic = found.measured[name]
        if isinstance(statistic, str):
            results.append(without_value(metric, statistic, asked))
        else:
            found_score = score(metric, statistic, resamples=_resamples(name, context, task, asked), seed=context.seed)
            results.append(within_bounds(name, found_score))
    return results


def _differences(
    metrics: Sequence[Metric], findings: dict[str, Findings], context: TaskContext[ImagesTask], task: ImagesTask
) -> list[Difference]:
    """Tuned minus base over the same prompts and seeds."""
    results = []
    for name, metric in zip(task.metrics, metrics, strict=True):
        tuned, base = findings["tuned"].measured[name], findings["base"].measured[name]
        if not isinstance(tuned, str) and not isinstance(base, str):
            asked = len(tuned.scored)
            found = difference(metric, tuned, base, resamples=_resamples(name, context, task, asked), seed=context.seed)
            results.append(found.model_copy(update={"method": f"{found.method}; pairs are pictures of equal prompt and seed"}))
    return results


def _resamples(name: str, context: TaskContext[ImagesTask], task: ImagesTask, count: int) -> int:
    """Fewer for what takes the eigenvalues of a matrix each time, fewer still where that matrix is large."""
    if name != "fid":
        return context.resamples
    return min(context.resamples, task.slow_resamples, *([_FEWEST_RESAMPLES] if count > _LARGE_SET else []))


def _made_with(name: str, task: ImagesTask, eyes: Eyes, gallery: Gallery) -> str:
    """Library and settings of one measure."""
    size = f"pictures at {gallery.size[0]}x{gallery.size[1]}"
    classifier = eyes.classifier.describe() if eyes.classifier else "no classifier"
    if name == "clip_score":
        return eyes.clip.describe() if eyes.clip else "no CLIP"
    if name in {"label_accuracy", "coverage"}:
        return f"{classifier}, {size}"
    if name == "copied_pixels":
        return f"Euclidean distance at {task.pixel_side}x{task.pixel_side} pixels, {size}"
    network = eyes.network
    described = (
        "no network"
        if network is None
        else classifier
        if network is eyes.classifier
        else f"{network.name}, sha256 {network.sha256[:16]}"
    )
    details = {
        "inception_score": f"{task.splits} splits, RandomState(2020), population standard deviation",
        "kid": f"{task.kid_subsets} subsets of {task.kid_subset_size}, cubic kernel, RandomState(2020)",
        "precision": f"k = {task.neighbours}",
        "recall": f"k = {task.neighbours}",
    }.get(name, "")
    return ", ".join(part for part in (described, details, size) if part)
