#include "bench_targets.h"

#include "kernels/bench/compare.h"

#include "targets.h"

namespace kernels::fuzz {

using namespace bench;

void bench_results(std::string_view bytes) {
  const auto first = parse_results(bytes, "the results");
  if (!first) {
    require(!first.error().text().empty(), "an error says something");
    return require(first.error().code() == Errc::corrupt || first.error().code() == Errc::unsupported,
                   "a file is damaged or of another program");
  }
  const auto written = encode_results(*first);
  const auto second = parse_results(written, "the results");
  require(second.has_value(), "what was read can be written and read again");
  require(*second == *first, "it is the same then");
  require(encode_results(*second) == written, "writing is stable");
  require(differences(*first, *second).empty(), "a run is like itself");
  for (double threshold : {0.0, 0.01})
    if (const auto compared = compare(*first, *second, {.threshold = threshold})) {
      require(compared->rows.size() == first->rows.size(), "every row finds itself");
      for (const auto& row : compared->rows)
        require(
            row.change == Change::same || row.change == Change::unsure || row.change == Change::not_measured,
            "a run beside itself has not changed");
    }
  if (const auto fleet = merge({*first}, 0.01))
    require(fleet->merged.rows.size() == first->rows.size(), "merging loses nothing");
  require(first->devices.empty() || !merge({*first, *second}, 0.01), "no run is merged with itself");
}

}  // namespace kernels::fuzz
