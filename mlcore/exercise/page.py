"""A network in one HTML page: every step from its numbers to J, which the JavaScript in ``data/web`` works."""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.drawing.graph import Graph, build, entry_name, unit_label
from mlcore.exercise.drawing.markup import to_svg
from mlcore.exercise.functions import ACTIVATIONS, NORMALIZES, as_fraction
from mlcore.exercise.problem import Problem
from mlcore.exercise.work import USED_BY
from mlcore.templates import web_page

SCRIPTS = ("numbers", "layers", "network", "elements", "network_page")
MAX_SAMPLES = 20  # that a page has room for
WIDEST = "−0.12345"  # the number that the drawing leaves room for

Term = tuple[int, int | None, str]  # of, by, factor


class Step(NamedTuple):
    """A value on the way to J, as ``data/web/network.js`` has it."""

    key: str
    name: str
    kind: str
    terms: list[Term]


class Steps:
    """The steps of a problem, each after those that it needs; the last one is J.

    The keys of those that a page shows, also in drawings: ``w.place`` for all entries of arrays, ``x.sample.i``,
    ``y.sample.k``, ``z.sample.layer.unit``, the same for a, and J. ``trained``: the places that are not frozen.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.network, self.steps = problem, problem.network, list[Step]()
        self._log_sum_exp = cache(  # that of a softmax is also that of its loss
            lambda of, *z: self._add("", f"log Σ exp z{of}", [(one, None, "") for one in z], "log-sum-exp")
        )
        network, n = problem.network, len(problem.x)
        self.places = network.places
        for name, places in self.places.items():
            for index, place in np.ndenumerate(places):
                self._add(f"w.{place}", entry_name(name, index))
        self.trained = self._all(network.trained)
        self.W = network.joined(self.places)
        self.b = [self.places.get(layer.bias or "") for layer in network.layers]
        penalty = [(place, place, str(as_fraction(network.loss.l2))) for place in self._all(network.penalized)]
        names = [f"J{s + 1}" for s in range(n)] if n > 1 or penalty else ["J"]
        losses = [self._sample(s, name) for s, name in enumerate(names)]
        if n > 1 or penalty:
            terms: list[Term] = [(loss, None, str(network.share(n))) for loss in losses]
            terms += [(self._add("penalty", "penalty", penalty), None, "")] if penalty else []
            self._add("J", "J", terms)

    def to_data(self) -> dict[str, Any]:
        """For the scripts; ``samples`` times the gradient in z is δ, which belongs to the loss of a sample."""
        style = self.problem.style
        return {
            "steps": [step._asdict() for step in self.steps],
            "trained": self.trained,
            "samples": self.network.share(len(self.problem.x)).denominator,
            "digits": style.digits,
            "decimals": style.decimals,
            "isRational": self.network.rational,
        }

    def _add(self, key: str, name: str, terms: Sequence[Term] = (), kind: str = "sum") -> int:
        turned = [(by, of, factor) for of, by, factor in terms if by is not None and by != of]  # products have two
        self.steps.append(Step(key, name, kind if terms else "given", [*terms, *turned]))
        return len(self.steps) - 1

    def _all(self, names: list[str]) -> list[int]:
        return [place for name in names for place in self.places[name].ravel().tolist()]

    def _sample(self, s: int, name: str) -> int:
        """The steps of a sample, up to its loss."""
        network, problem = self.network, self.problem
        of = f" of sample {s + 1}" if problem.several else ""
        target = "u" if network.loss.name == "none" else "y"
        x = [self._add(f"x.{s}.{i}", f"x{i + 1}{of}") for i in range(len(problem.x[s]))]
        targets = [f"{target}{k + 1}" for k in range(len(problem.y[s]))] if len(problem.y[s]) > 1 else [target]
        y = [self._add(f"y.{s}.{k}", name + of) for k, name in enumerate(targets)]
        z, a = list[int](), list[int]()
        for number, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            inputs, labels = [*a, *x[network.spans[number]]], [unit_label(network, number, u) for u in range(len(W))]
            sums: list[list[Term]] = [[(int(w), i, "") for w, i in zip(row, inputs, strict=True)] for row in W]
            for terms, bias in zip(sums, [] if b is None else b, strict=False):
                terms.append((int(bias), None, ""))
            z = [self._add(f"z.{s}.{number}.{u}", f"z({labels[u]}){of}", sums[u]) for u in range(len(W))]
            kinds = self._activated(number, z, of)
            a = [self._add(f"a.{s}.{number}.{u}", labels[u] + of, *kinds[u]) for u in range(len(W))]
        return self._add(name if name == "J" else f"J.{s}", name, self._loss(z, a, y, of))

    def _activated(self, layer: int, z: list[int], of: str) -> list[tuple[list[Term], str]]:
        name, leak = self.network.layers[layer].activation, str(as_fraction(self.network.leaks[layer]))
        if ACTIVATIONS[name].has_kink:
            return [([(one, None, leak)], "piecewise") for one in z]
        if name == NORMALIZES:
            total = self._log_sum_exp(of, *z)
            z = [self._add("", f"log of {self.steps[one].name}", [(one, None, ""), (total, None, "-1")]) for one in z]
        kind = {"identity": "sum", NORMALIZES: "exp"}.get(name, name)
        return [([(one, None, "")], kind) for one in z]

    def _loss(self, z: list[int], a: list[int], y: list[int], of: str) -> list[Term]:
        loss, steps = self.network.loss.name, self.steps
        products: list[Term] = [(one, goal, "-1") for one, goal in zip(z, y, strict=True)]
        if loss == "none":
            return [(one, goal, "") for one, goal in zip(a, y, strict=True)]
        if loss == "cross-entropy":
            total = self._log_sum_exp(of, *z)
            return [*((total, goal, "") for goal in y), *products]
        if loss == "binary-cross-entropy":
            logs = [self._add("", f"log(1 + exp {steps[one].name})", [(one, None, "")], "softplus") for one in z]
            return [*((one, None, "") for one in logs), *products]
        errors = [
            self._add("", f"({steps[one].name} − {steps[goal].name})", [(one, None, ""), (goal, None, "-1")])
            for one, goal in zip(a, y, strict=True)
        ]
        factor = "" if self.network.factor == 1 else str(self.network.factor)
        return [(error, error, factor) for error in errors]


def network_page(problem: Problem, title: str) -> str:
    """A page whose numbers can be changed, and which shows all that follows from them, without a network or a server.

    Raises: InputError if the network is too big to draw, or has more than MAX_SAMPLES samples or no derivatives.
    """
    from markupsafe import Markup

    if len(problem.x) > MAX_SAMPLES:
        raise InputError(f"There are {len(problem.x)} samples; a page has room for {MAX_SAMPLES}: leave some out.")
    graph, steps = build(problem), Steps(problem)
    arrays = {name: (steps.places[name], np.array(given, object)) for name, given in problem.network.given.items()}
    values: dict[str, Any] = {
        "drawing": Markup(to_svg(_roomy(graph), is_interactive=True)),  # escaped by its own template
        "problem": problem,
        "names": {step.key: step.name for step in steps.steps},
        "arrays": {name: zip(*map(np.atleast_2d, both), strict=True) for name, both in arrays.items()},
        "trained": steps.trained,
        "conventions": USED_BY,
        "at_zero": str(Fraction(problem.at_zero)),
        "chosen": steps.W[-1].flat[0],
    }
    return web_page("network.html", SCRIPTS, steps.to_data(), title=title, **values)


def _roomy(graph: Graph) -> Graph:
    """The graph with room for other numbers and states."""
    nodes = list(graph.nodes)
    for i, node in enumerate(nodes):
        if node.kind != "bias":
            rows = [(symbol, WIDEST) for symbol, _ in node.rows]
            nodes[i] = node._replace(rows=rows, state="kink" if node.state else "")
    edges = [edge._replace(texts=(WIDEST, WIDEST), is_zero=False) for edge in graph.edges]
    notes = [note for note in graph.notes if note.startswith("Only")]
    return graph._replace(title="The network", notes=notes, nodes=nodes, edges=edges)
