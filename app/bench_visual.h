#pragma once

#include <string>

#include "kernels/bench/results.h"

#include "reporter.h"

namespace kernels::app {

/// Writes the pictures of a run where the Python program of this name writes its own, for `--visual run`:
/// `media/run_light_latency.svg`, `media/run_light_throughput.svg`, `media/run_light_animation.svg`, the same
/// with `dark`, and if `rasterized` also as `.png`, the animation as `.gif`. Each file replaces an older one
/// when it is whole. A run in which nothing stands beside a reference or a limit has none, which is said.
/// Errors  io; also as of `Rasterizer`.
Status save_pictures(const std::string& name, const bench::Results& results, bool rasterized, Reporter& out);

}  // namespace kernels::app
