// Measures the variants given on the command line and prints one line per row, and one JSON object per row to
// the file named by --json. For machines that have only what was carried to them; people use `kernels bench`.
//
//   gpu_bench --device cuda|cpu --worker FILE --provider FILE [--json FILE] [--workload TEXT] [--budget-ms N]
//   [--time-limit-ms N] VARIANT...

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "kernels/bench/bench.h"

using namespace kernels::bench;

namespace {

struct Request {
  BenchOptions options;
  std::string json;
  std::vector<std::string> variants;
};

Request parse(int argc, char** argv) {
  Request request;
  std::map<std::string, std::string> named;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with("--") && i + 1 < argc)
      named[word] = argv[++i];
    else
      request.variants.push_back(word);
  }
  request.options.device =
      named["--device"] == "cuda" ? kernels::runtime::DeviceKind::cuda : kernels::runtime::DeviceKind::cpu;
  request.options.worker = named["--worker"];
  request.options.provider = named["--provider"];
  request.options.workload = named["--workload"];
  if (named.contains("--budget-ms"))
    request.options.rule.budget_seconds = std::stoi(named["--budget-ms"]) / 1e3;
  if (named.contains("--time-limit-ms"))
    request.options.time_limit = std::chrono::milliseconds(std::stoi(named["--time-limit-ms"]));
  request.json = named["--json"];
  return request;
}

std::string median(const Timing& timing, SeriesKind kind) {
  const auto* series = timing.find(kind);
  if (series == nullptr) return "-";
  const auto summary = series->summary();
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%.3f [%.3f, %.3f]", summary.median / 1e3, summary.median_low / 1e3,
                summary.median_high / 1e3);
  return text.data();
}

void print(const ResultRow& row) {
  const auto& result = row.result;
  std::printf("%-20s %-26s %-9s %-8s worst %.3f of tolerance, %llu elements%s%s\n", row.function.c_str(),
              row.workload.c_str(), std::string(kernels::runtime::name_of(row.dtype)).c_str(),
              std::string(name_of(result.verdict)).c_str(), result.numerics.worst_share,
              static_cast<unsigned long long>(result.numerics.checked), result.reason.empty() ? "" : ": ",
              result.reason.c_str());
  for (const auto& launch : result.probe.launches)
    std::printf("    launches %s grid %u,%u,%u block %u, %d registers, %d bytes local, sm_%d\n",
                launch.name.c_str(), launch.grid[0], launch.grid[1], launch.grid[2], launch.block[0],
                launch.registers, launch.local_bytes, launch.binary_version);
  if (!result.timing) return;
  const Timing& t = *result.timing;
  std::printf("    us: cold %s limit %s warm %s warm limit %s floor %s alone %s\n",
              median(t, SeriesKind::cold).c_str(), median(t, SeriesKind::limit).c_str(),
              median(t, SeriesKind::warm).c_str(), median(t, SeriesKind::warm_limit).c_str(),
              median(t, SeriesKind::floor).c_str(), median(t, SeriesKind::single).c_str());
  std::printf("    %.0f GB/s, %.1f %% of the limit, %zu samples until %s | %s | %s\n", t.gb_per_s(),
              100 * result.share_of_limit().value_or(Ratio{}).value, t.find(SeriesKind::cold)->samples.size(),
              std::string(name_of(t.stopped)).c_str(), t.method.c_str(), t.limit_method.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const Request request = parse(argc, argv);
  std::ofstream json;
  if (!request.json.empty()) json.open(request.json);
  bool right = !request.variants.empty();
  for (const std::string& variant : request.variants) {
    const auto report = bench_variant(variant, request.options, {}, {});
    if (!report) {
      std::printf("%s: %s\n", variant.c_str(), kernels::describe(report.error()).c_str());
      right = false;
      continue;
    }
    std::printf("%s/%s\n", variant.c_str(), report->library.c_str());
    for (const ResultRow& row : report->rows) {
      print(row);
      json << R"({"library":")" << report->library << R"(","function":")" << row.function
           << R"(","workload":")" << row.workload << R"(","dtype":")" << kernels::runtime::name_of(row.dtype)
           << R"(","result":)" << encode(row.result) << "}\n";
    }
    std::fflush(stdout);
    for (const auto& row : report->rows)
      right = right && row.result.verdict == Verdict::right;
  }
  return right ? 0 : 1;
}
