"""Fixtures and skips that the Python tests share."""
import os

import pytest

import support


@pytest.fixture(scope="session")
def shared():
    if not os.path.isdir(os.path.join(support.SHARED, "models")):
        pytest.skip("needs the shared models (NARROW_SHARED)")
    return support.SHARED


@pytest.fixture(scope="session")
def zoo():
    """A function from a model's name to its path; skips when it has not been made."""
    def find(name):
        path = os.path.join(support.ZOO, name)
        if not os.path.exists(path):
            pytest.skip(f"needs {name} (./run zoo)")
        return path
    return find


@pytest.fixture(scope="session")
def digits():
    """A function from a file's name to its path beside the digits example."""
    return lambda name: os.path.join(support.DIGITS, name)
