#pragma once

#include <string_view>

namespace kernels::bench {

/// The text of `python/driver.py`, which an interpreter runs.
std::string_view python_driver();

}  // namespace kernels::bench
