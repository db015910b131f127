"""Float models give what ONNX Runtime gives, on every graph output."""
import numpy as np
import onnxruntime as ort
import pytest

import support

MODELS = support.all_models()


# What the Sigmoid of ONNX Runtime is accurate to, in absolute terms: it gives 0 for 1e-8. Outputs as
# small as that (a text detector on noise) cannot be compared more closely.
SIGMOID = 2e-7


@pytest.mark.parametrize("name", sorted(MODELS))
def test_equals_onnxruntime(name, tmp_path):
    path = MODELS[name]
    inputs = support.random_inputs(path, np.random.default_rng(1))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    expected = dict(zip(names, session.run(names, inputs)))
    got = support.run_model(path, inputs, tmp_path)
    assert sorted(got) == sorted(expected)
    for out, want in expected.items():
        assert got[out].shape == want.shape and got[out].dtype == want.dtype
        if np.issubdtype(want.dtype, np.floating):
            np.testing.assert_allclose(got[out], want, rtol=1e-4, atol=max(1e-4 * np.abs(want).max(), SIGMOID))
        else:
            np.testing.assert_array_equal(got[out], want)
