#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kernels/bench/results.h"

namespace kernels::app {

/// Errors  not_found, io; corrupt, unsupported: not a file of results of this version.
Result<bench::Results> read_results(const std::filesystem::path& file);
/// Every file that ends in `.json` of a folder, by name. Errors  as above, naming the file; not_found: none.
Result<std::vector<bench::Results>> read_results_folder(const std::filesystem::path& folder);

/// Writes results to a file. In a folder, or to a name that ends in `/`, the file is named after the job of
/// the scheduler, if there is one, the host and the devices, so that the jobs of an array may all name one
/// folder. Errors  io.
Status save_results(const std::string& where, const bench::Results& results);

/// The name of such a file. Pure.
std::string results_file_name(const bench::Results& results);

}  // namespace kernels::app
