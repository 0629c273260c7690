"""The curves by which the number of groups was chosen, as small inline SVGs."""

from __future__ import annotations

from markupsafe import Markup

from studio.evals.numbers import number
from studio.evals.task import Panel
from studio.models.clusters.base import Choice, Curve

_LEFT, _TOP, _WIDTH, _HEIGHT = 44, 12, 186, 130


def choice_panel(choice: Choice) -> list[Panel]:
    """What speaks for how many groups, criterion by criterion; nothing where the number was given or found by the method."""
    if not choice.curves:
        return []
    told = Markup("").join(Markup("<li>{}</li>").format(sentence) for sentence in choice.told)
    drawn = Markup("").join(_figure(curve, choice.k) for curve in choice.curves)
    return [
        Panel(
            "How many groups",
            Markup(
                '<ul>{}</ul><p class="soft">Made in the training, on {:,} training rows. Filled: the number that was taken; '
                "ring: the one that the criterion says. Each has a scale of its own.</p>"
                '<div class="curves">{}</div>'
            ).format(told, choice.rows, drawn),
        )
    ]


def _figure(curve: Curve, chosen: int) -> Markup:
    """One criterion over the numbers of groups, with its standard errors where it has any."""
    errors = curve.errors or [0.0] * len(curve.counts)
    known = [
        (count, value, error) for count, value, error in zip(curve.counts, curve.values, errors, strict=True) if value is not None
    ]
    if not known:
        return Markup("<figure><figcaption>{} <small>has no value for any number</small></figcaption></figure>").format(
            curve.title
        )
    low, high = min(value - error for _, value, error in known), max(value + error for _, value, error in known)
    first, last = curve.counts[0], curve.counts[-1]

    def across(count: int) -> float:
        return _LEFT + _WIDTH * (count - first) / max(1, last - first)

    def up(value: float) -> float:
        return _TOP + _HEIGHT * (1 - (value - low) / (high - low or 1.0))

    pieces = [
        Markup('<polyline class="curve tuned" points="{}"/>').format(
            " ".join(f"{across(count):.1f},{up(value):.1f}" for count, value, _ in known)
        )
    ]
    for count, value, error in known:
        if error:
            pieces.append(
                Markup('<path d="M{0:.1f} {1:.1f}V{2:.1f}" stroke="var(--tuned)" stroke-width="1.2"/>').format(
                    across(count), up(value - error), up(value + error)
                )
            )
        if count == chosen:
            pieces.append(Markup('<circle class="dot tuned" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(across(count), up(value)))
        if count == curve.best:
            pieces.append(
                Markup('<circle cx="{:.1f}" cy="{:.1f}" r="7.5" fill="none" stroke="var(--ink)" stroke-width="1.5"/>').format(
                    across(count), up(value)
                )
            )
    says = f"says {curve.best}" if curve.best is not None else "says nothing"
    way = "higher is better" if curve.better == "higher" else "lower is better"
    if curve.criterion == "gap":
        way = "the first that the next does not beat by its standard error"
    return Markup(
        '<figure><svg viewBox="0 0 240 178" role="img" aria-label="{told}">'
        '<rect class="frame" x="{left}" y="{top}" width="{width}" height="{height}"/>{pieces}'
        '<text x="{before}" y="{up}" text-anchor="end">{high}</text><text x="{before}" y="{down}" text-anchor="end">{low}</text>'
        '<text x="{left}" y="{below}" text-anchor="middle">{first}</text>'
        '<text x="{right}" y="{below}" text-anchor="middle">{last}</text>'
        '<text x="{middle}" y="{below}" text-anchor="middle">groups</text>'
        "</svg><figcaption>{title} <small>{says}; {way}</small></figcaption></figure>"
    ).format(
        told=f"{curve.title} for {first} to {last} groups, {says}",
        left=_LEFT,
        top=_TOP,
        width=_WIDTH,
        height=_HEIGHT,
        before=_LEFT - 4,
        up=_TOP + 9,
        down=_TOP + _HEIGHT,
        below=_TOP + _HEIGHT + 16,
        right=_LEFT + _WIDTH,
        middle=_LEFT + _WIDTH / 2,
        high=number(high),
        low=number(low),
        first=first,
        last=last,
        pieces=Markup("").join(pieces),
        title=curve.title,
        says=says,
        way=way,
    )
