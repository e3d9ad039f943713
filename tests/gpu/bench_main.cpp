// Measures the variants given on the command line and prints one line per row, and one JSON object per row to
// the file named by --json. For machines that have only what was carried to them; people use `kernels bench`.
//
//   gpu_bench --device cuda|cpu --worker FILE --provider FILE [--json FILE] [--workload TEXT] [--budget-ms N]
//   VARIANT...

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
    request.options.budget = std::chrono::milliseconds(std::stoi(named["--budget-ms"]));
  request.json = named["--json"];
  return request;
}

void print(const BenchRow& row) {
  std::printf("%-20s %-26s %-9s %-8s worst %.3f of tolerance, %llu elements%s%s\n", row.function.c_str(),
              row.workload.c_str(), std::string(kernels::runtime::name_of(row.dtype)).c_str(),
              std::string(name_of(row.result.verdict)).c_str(), row.result.worst_share,
              static_cast<unsigned long long>(row.result.checked), row.result.reason.empty() ? "" : ": ",
              row.result.reason.c_str());
  if (!row.result.timing) return;
  const Timing& t = *row.result.timing;
  std::printf(
      "    %.2f us [%.2f, %.2f] min %.2f p95 %.2f spread %.1f %% of %zu; %.0f GB/s, copy %.0f GB/s, share "
      "%.2f%s\n",
      t.kernel.median / 1e3, t.kernel.median_low / 1e3, t.kernel.median_high / 1e3, t.kernel.min / 1e3,
      t.kernel.p95 / 1e3, 100 * t.kernel.spread, t.kernel.samples, t.gb_per_s, t.limit_gb_per_s,
      t.share_of_limit, t.unsteady ? " UNSTEADY" : "");
  std::printf("    %s | limit: %s | clocks: %s | %s\n", t.method.c_str(), t.limit_method.c_str(),
              t.clocks.c_str(), row.result.device.c_str());
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
    std::printf("%s/%s\n", report->variant.c_str(), report->library.c_str());
    for (const BenchRow& row : report->rows) {
      print(row);
      json << R"({"library":")" << report->library << R"(","function":")" << row.function
           << R"(","workload":")" << row.workload << R"(","dtype":")" << kernels::runtime::name_of(row.dtype)
           << R"(","result":)" << encode(row.result) << "}\n";
    }
    std::fflush(stdout);
    right = right && report->all_right();
  }
  return right ? 0 : 1;
}
