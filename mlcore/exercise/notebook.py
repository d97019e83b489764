"""What notebooks show of networks, their values and derivations: formulas, for MathJax or for LaTeX."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlcore.errors import InputError

if TYPE_CHECKING:  # which need networks themselves
    from mlcore.exercise.formats import Section, Style
    from mlcore.exercise.network import Network


class Formulas(NamedTuple):
    """Sections of formulas, and how numbers in them are shown."""

    sections: "list[Section]"
    style: "Style"


class Shown:
    """A base of what notebooks show as formulas."""

    def formulas(self) -> Formulas | None:
        """The formulas; None if there are none."""
        raise NotImplementedError

    def _repr_html_(self) -> str | None:
        from mlcore.exercise.formats import to_html

        found = self.formulas()
        return found and to_html(*found)

    def _repr_latex_(self) -> str | None:
        from mlcore.exercise.formats import to_latex

        found = self.formulas()
        return found and to_latex(*found)


def of_network(network: "Network") -> Formulas | None:
    """What a network computes, and its arrays; None where their names cannot be told apart in formulas."""
    from mlcore.exercise.derivation import pose
    from mlcore.exercise.formats import Section
    from mlcore.exercise.problem import Problem

    n_given = 1 + len(network.takers())  # x and y
    x, y = [Fraction(0)] * network.features, [Fraction(0)] * len(network.W[-1])
    try:
        problem = Problem(network, [x], [y])
        given = pose(problem)[0]
    except InputError:
        return None
    return Formulas([Section("Network", given.lines[:-n_given])], problem.style)


def of_values(title: str, values: Mapping[str, np.ndarray]) -> Formulas:
    """Matrices and columns by their symbols."""
    from mlcore.exercise.formats import STYLE, Section

    section = Section(title)
    for symbol, array in values.items():
        section.add(symbol, "=", np.array(array, object).reshape(len(array), -1))
    return Formulas([section], STYLE)
