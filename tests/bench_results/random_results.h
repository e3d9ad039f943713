#pragma once

#include <random>
#include <string>

#include "kernels/bench/results.h"

namespace kernels::test {

/// Results as no run would make them: any text, any number that is allowed, every verdict. Every value is one
/// that survives `encode_results` and `parse_results`.
bench::Results random_results(std::mt19937_64& random);
bench::CaseResult random_case_result(std::mt19937_64& random);
bench::DeviceRecord random_device(std::mt19937_64& random);

}  // namespace kernels::test
