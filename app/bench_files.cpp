#include "bench_files.h"

#include <algorithm>

#include "kernels/base/file.h"

namespace kernels::app {

namespace fs = std::filesystem;

Result<bench::Results> read_results(const fs::path& file) {
  auto text = read_file(file, 64ULL << 20);
  if (!text) return fail(std::move(text).error().while_doing("reading results of `kernels bench`"));
  return bench::parse_results(*text, "`" + file.string() + "`");
}

Result<std::vector<bench::Results>> read_results_folder(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code))
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  if (code) return fail(system_error("list", folder.string(), code.value()));
  if (files.empty())
    return fail(
        Error(Errc::not_found, "there are no results in `" + folder.string() + "`")
            .with_hint("`kernels bench --save " + folder.string() + "/` on each machine writes them"));
  std::ranges::sort(files);
  std::vector<bench::Results> out;
  for (const auto& file : files) {
    auto results = read_results(file);
    if (!results) return fail(std::move(results).error());
    out.push_back(std::move(*results));
  }
  return out;
}

std::string results_file_name(const bench::Results& results) {
  std::string name = "bench-" + (results.job.empty() ? results.started : results.job) + "-" + results.host;
  for (const auto& device : results.devices)
    name += "-" + (device.uuid.empty() ? device.kind : device.uuid);
  for (char& letter : name)
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0 && letter != '-' && letter != '_') letter = '-';
  constexpr std::size_t kMost = 200;
  return name.substr(0, kMost) + ".json";
}

Status save_results(const std::string& where, const bench::Results& results) {
  std::error_code code;
  fs::path place = where;
  if (where.ends_with('/') || fs::is_directory(place, code)) place /= results_file_name(results);
  return write_file(place, bench::encode_results(results), Durable::no);
}

}  // namespace kernels::app
