#pragma once

#include <string_view>

// Targets for what measurements come in; see targets.h.

namespace kernels::fuzz {

void bench_results(std::string_view bytes);
void script_listing(std::string_view bytes);
void hand_workload(std::string_view bytes);
void torch_schema(std::string_view bytes);
void layer_selection(std::string_view bytes);

}  // namespace kernels::fuzz
