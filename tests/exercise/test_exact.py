"""Exact arithmetic and what lies behind the kink, on random rational networks with planted kinks."""

import random
from fractions import Fraction

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.errors import InputError
from mlcore.exercise.exact import ExactNetwork, as_fraction
from mlcore.exercise.rational import combine, contains_zero, dot, null_space, positive_direction

TINY = Fraction(1, 10**9)
COUNTS = [80, pytest.param(1000, marks=pytest.mark.full)]


def matrix(generator, rows, columns, largest=2):
    return [[Fraction(generator.randint(-largest, largest)) for _ in range(columns)] for _ in range(rows)]


def random_network(generator):
    """Small network with small integers, so that kinks are common; at times with a bias, or two samples."""
    sizes = [
        generator.randint(1, 3),
        *(generator.randint(1, 3) for _ in range(generator.randint(1, 2))),
        generator.randint(1, 2),
    ]
    layers = []
    for number, (columns, rows) in enumerate(zip(sizes, sizes[1:], strict=False)):
        bias = matrix(generator, 1, rows)[0] if generator.random() < 0.3 else None
        activation = "identity" if generator.random() < 0.15 else "relu"
        layers.append(
            Layer(f"l{number}", f"W{number}", matrix(generator, rows, columns), activation, bias and f"b{number}", bias)
        )
    samples = 1 if generator.random() < 0.8 else 2
    x, y = matrix(generator, samples, sizes[0]), matrix(generator, samples, sizes[-1], 3)
    return Network(layers), x, y


def kinked_networks(count, most_kinks=6):
    generator = random.Random(11)
    while count:
        network, x, y = random_network(generator)
        exact = ExactNetwork(network, x, y)
        if 1 <= len(exact.trace.kinks) <= most_kinks:
            count -= 1
            yield exact, generator


def moved(exact, offset):
    """The same network with its weights and biases moved."""
    named = exact.named(offset)
    layers = []
    for layer in exact.layers:
        W = [
            [w + d for w, d in zip(row, change, strict=True)]
            for row, change in zip(layer.W, named[layer.weights], strict=True)
        ]
        b = layer.b and [value + d for value, d in zip(layer.b, named[layer.bias], strict=True)]
        layers.append(layer._replace(W=W, b=b))
    return ExactNetwork(Network(layers), exact.x, exact.y)


def random_direction(exact, generator):
    return [Fraction(generator.randint(-1000, 1000)) for _ in range(exact.size)]


@pytest.mark.parametrize("count", COUNTS)
def test_vertices_hold_every_gradient_found_nearby_and_nothing_else(count):
    for exact, generator in kinked_networks(count):
        found = exact.subdifferential()
        vertices = {tuple(piece.gradients.flat) for piece in found.pieces}
        seen = set()
        for _ in range(60):
            # a few entries move by much more than the others, so that thin pieces are entered as well
            offset = [value * TINY ** generator.randint(1, 2) for value in random_direction(exact, generator)]
            near = moved(exact, offset)
            on = {kink: near.trace.z[kink.layer][kink.sample][kink.unit] > 0 for kink in exact.trace.kinks}
            gradient = tuple(exact._backward(lambda kink, on=on: Fraction(on[kink])).flat)
            seen.add(gradient)
            if found.complete:
                assert gradient in vertices, "a gradient of a nearby piece is missing"
        if not found.doubtful:
            assert vertices - seen <= reached_on_purpose(exact, found), "a vertex is the gradient of no nearby piece"


def reached_on_purpose(exact, found):
    """Vertices whose piece is entered by a point that is built for it: to first order, or along a curve."""
    reached = set()
    for pattern, gradients in found.pieces:
        if exact._holds(pattern):
            live, rows = exact._signed_forms(pattern)
            direction = positive_direction(rows)[0] if rows else [Fraction(0)] * exact.size
            if direction is None:  # tied forms: a curve of second order proves the piece, see the cusp below
                reached.add(tuple(gradients.flat))
                continue
            scale = TINY / max([1, *map(abs, direction)])
            near = moved(exact, [scale * value for value in direction])
            if all((near.trace.z[k.layer][k.sample][k.unit] > 0) == pattern[k] for k in live):
                reached.add(tuple(gradients.flat))
    return reached


@pytest.mark.parametrize("count", COUNTS)
def test_one_sided_slopes(count):
    """The slope along v is <g, v> for the piece that v enters, and lies between -s(-v) and s(v)."""
    for exact, generator in kinked_networks(count):
        found = exact.subdifferential()
        direction = random_direction(exact, generator)
        slope = exact.slope(direction)
        near = moved(exact, [TINY * value for value in direction])
        difference = (near.trace.loss - exact.trace.loss) / TINY
        assert (
            abs(difference - slope)
            < Fraction(1, 1000) * (1 + abs(slope)) * max(1, sum(map(abs, direction)) ** 2) / 10**3
        )
        on = {kink: near.trace.z[kink.layer][kink.sample][kink.unit] > 0 for kink in exact.trace.kinks}
        assert slope == dot(exact._backward(lambda kink, on=on: Fraction(on[kink])).flat, direction)
        if found.complete:
            products = [dot(piece.gradients.flat, direction) for piece in found.pieces]
            assert min(products) <= slope <= max(products)


@pytest.mark.parametrize("count", COUNTS)
def test_verdict(count):
    for exact, generator in kinked_networks(count):
        found = exact.subdifferential()
        if found.descent:
            flat = [value for array in found.descent.direction.values() for value in flatten(array)]
            assert exact.slope(flat) == found.descent.slope < 0
            assert moved(exact, [TINY * value / max(map(abs, flat)) for value in flat]).trace.loss < exact.trace.loss
        else:
            assert all(exact.slope(random_direction(exact, generator)) >= 0 for _ in range(50))
        if found.stationary is False:
            assert found.descent, "where 0 is not in the subdifferential, J falls somewhere"


def flatten(array):
    for value in array:
        yield from flatten(value) if isinstance(value, list) else [value]


@pytest.mark.parametrize("count", COUNTS)
def test_kernels_give_the_exact_values(count):
    generator = random.Random(5)
    for _ in range(count):
        network, x, y = random_network(generator)
        exact = ExactNetwork(network, x, y)
        trace = network.forward(x)
        assert trace.kinks == exact.trace.kinks
        for convention in (Fraction(0), Fraction(1, 2), Fraction(1)):
            gradients, expected = network.backward(trace, y, float(convention)), exact.backward(convention)
            for name, array in expected.arrays.items():
                np.testing.assert_allclose(gradients.arrays[name], np.array(array, float), atol=1e-12)
            np.testing.assert_allclose(gradients.x, np.array(expected.x, float), atol=1e-12)


def exercise():
    return Network([Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[0, 1]])])


def test_exercise():
    found = ExactNetwork(exercise(), [1, 2, 1], [1]).subdifferential()
    assert [piece.gradients.arrays["V"] for piece in found.pieces] == [[[0, 0]], [[-2, 0]]]
    assert found.complete and found.stationary
    assert found.descent.direction["V"] == [[1, 0]] and found.descent.slope == -2


def test_cusp_that_sampling_misses():
    network = Network([Layer("hidden", "W", [[0], [0]]), Layer("output", "V", [[1, -1], [-1, 1]])])
    found = ExactNetwork(network, [1], [-1, 1]).subdifferential()
    assert found.complete
    assert [[2], [-2]] in [piece.gradients.arrays["W"] for piece in found.pieces]


def test_decimals_are_exact():
    """0.1 * 3 - 0.3 is not 0 in floating point; the unit is on its kink all the same."""
    network = Network([Layer("output", "W", [[as_fraction(0.1), as_fraction(-0.3)]])])
    exact = ExactNetwork(network, [[3, 1]], [[1]])
    assert exact.trace.kinks and exact.trace.z == [[[0]]]
    assert network.forward([3, 1]).z[0][0, 0] != 0
    assert network.forward([3, 1], exact.trace.z).kinks == exact.trace.kinks


def test_twelve_kinks_are_enumerated_and_thirteen_are_not():
    for units, complete in ((12, True), (13, False)):
        network = Network([Layer("hidden", "W", [[0]] * units), Layer("output", "V", [[1] * units], "identity")])
        found = ExactNetwork(network, [1], [1]).subdifferential()
        assert found.complete is complete
        assert len(found.pieces) == (4096 if complete else 0)
        assert found.descent is not None


def test_unit_that_is_0_near_the_point_has_no_pieces_of_its_own():
    """All hidden units are off, so that y_hat = 0 near the point: J is constant there."""
    network = Network([Layer("hidden", "W", [[-1], [-2]]), Layer("output", "V", [[1, 1]])])
    found = ExactNetwork(network, [1], [1]).subdifferential()
    assert [piece.gradients.flat for piece in found.pieces] == [[0, 0, 0, 0]]
    assert found.complete and found.stationary and found.descent is None


def test_same_sample_twice_is_one_unit():
    """Of two equal samples, one cannot be on and the other off."""
    found = ExactNetwork(exercise(), [[1, 2, 1], [1, 2, 1]], [[1], [1]]).subdifferential()
    assert found.complete and len(found.pieces) == 2


def test_smooth_networks_are_not_rational():
    network = Network([Layer("output", "W", [[1]], "tanh")])
    with pytest.raises(InputError, match="activations relu and identity"):
        ExactNetwork(network, [1], [1])


# Linear algebra -----------------------------------------------------------------------------------------------


def test_positive_direction_or_the_proof_that_there_is_none():
    generator = random.Random(2)
    outcomes = set()
    for _ in range(400):
        rows = matrix(generator, generator.randint(1, 5), generator.randint(1, 4))
        direction, weights = positive_direction(rows)
        outcomes.add(direction is None)
        if direction is not None:
            assert all(dot(row, direction) > 0 for row in rows)
        else:
            assert min(weights) >= 0 and sum(weights) == 1
            assert not any(combine(weights, rows))
        assert contains_zero(rows) is (direction is None)
    assert outcomes == {True, False}


def test_null_space():
    generator = random.Random(3)
    for _ in range(100):
        rows, width = matrix(generator, 3, 5), 5
        basis = null_space(rows, width)
        assert len(basis) == width - np.linalg.matrix_rank(np.array(rows, float))
        assert all(dot(row, vector) == 0 for row in rows for vector in basis)
