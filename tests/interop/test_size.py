"""An integer model takes little more than a quarter of the float one."""
import os

import pytest

import support

LARGE = {name: path for name, path in support.all_models().items()
         if support.weight_bytes(path) > 1 << 20}
MODES = {"dynamic": (), "static": ("--data", "random:2")}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(LARGE))
def test_integer_file_is_a_quarter(name, mode, tmp_path):
    out = tmp_path / "q.onnx"
    said = support.answer("quantize", LARGE[name], "-o", out, "--mode", mode, *MODES[mode])
    assert said["size_bytes"] == os.path.getsize(out)
    assert said["float_size_bytes"] == os.path.getsize(LARGE[name])
    assert said["size_bytes"] <= 0.27 * said["float_size_bytes"]
