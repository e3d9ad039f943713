#include <algorithm>
#include <charconv>
#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <tuple>

#include "kernels/bench/compare.h"

#include "device_pairs_impl.h"

namespace kernels::bench {

namespace {

/// Values that are further apart are not the same setting of a device.
constexpr double kAlike = 1.03;

class Pairing {
 public:
  Pairing(const Results& before, const Results& after)
      : before_(before), after_(after), partner_(after.devices.size()), is_used_(before.devices.size()) {}

  /// Pairs what is still alone and has the same key; no key: not in this round.
  template <class KeyOf>
  void pair_by(KeyOf key_of) {
    std::map<typename decltype(key_of(before_.devices.front()))::value_type, std::deque<std::uint32_t>> alone;
    for (std::uint32_t i = 0; i < is_used_.size(); ++i)
      if (auto key = key_of(before_.devices[i]); key && !is_used_[i]) alone[*key].push_back(i);
    for (std::size_t i = 0; i < partner_.size(); ++i) {
      auto key = key_of(after_.devices[i]);
      if (!key || partner_[i]) continue;
      auto found = alone.find(*key);
      if (found == alone.end() || found->second.empty()) continue;
      partner_[i] = found->second.front();
      is_used_[*partner_[i]] = true;
      found->second.pop_front();
    }
  }
  std::vector<std::optional<std::uint32_t>> partners() const { return partner_; }

 private:
  const Results& before_;
  const Results& after_;
  std::vector<std::optional<std::uint32_t>> partner_;
  std::vector<bool> is_used_;
};

std::string text_of(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value, std::chars_format::general, 6).ptr;
  return {buffer.begin(), end};
}

/// The highest clocks that were seen while anything was timed on a device; 0: not told.
struct Clocks {
  double device = 0;
  double memory = 0;
};

std::vector<Clocks> highest_clocks(const Results& run) {
  std::vector<Clocks> out(run.devices.size());
  auto raise = [](double& highest, const std::optional<Range>& range) {
    if (range) highest = std::max(highest, range->high);
  };
  for (const auto& row : run.rows) {
    if (!row.result.timing) continue;
    raise(out[row.device].device, row.result.timing->conditions.clock_mhz);
    raise(out[row.device].memory, row.result.timing->conditions.memory_mhz);
  }
  return out;
}

class Differences {
 public:
  void add(std::string text) {
    if (known_.insert(text).second) found_.push_back(std::move(text));
  }
  void add(const std::string& what, const std::string& before, const std::string& after) {
    if (before != after) add(what + ": `" + before + "` before, `" + after + "` now");
  }
  /// What is not told (0) is no difference.
  void add_if_apart(const std::string& what, double before, double after, const char* unit) {
    if (before <= 0 || after <= 0) return;
    if (std::max(before, after) > kAlike * std::min(before, after))
      add(what + ": " + text_of(before) + unit + " before, " + text_of(after) + unit + " now");
  }
  std::vector<std::string> take() { return std::move(found_); }

 private:
  std::vector<std::string> found_;
  std::set<std::string> known_;
};

void add_device(Differences& found, const DeviceRecord& before, const DeviceRecord& after) {
  const std::string of = " of `" + after.name + "`";
  found.add("driver" + of, before.driver, after.driver);
  if (before.multiprocessors > 0 && after.multiprocessors > 0)
    found.add((after.kind == "cpu" ? "cores" : "multiprocessors") + of,
              std::to_string(before.multiprocessors), std::to_string(after.multiprocessors));
  if (before.ecc && after.ecc) found.add("ECC" + of, *before.ecc ? "on" : "off", *after.ecc ? "on" : "off");
  found.add_if_apart("highest clock" + of, before.max_clock_mhz, after.max_clock_mhz, " MHz");
  found.add_if_apart("highest memory clock" + of, before.max_memory_mhz, after.max_memory_mhz, " MHz");
  found.add_if_apart("power limit" + of, before.power_limit_w, after.power_limit_w, " W");
}

}  // namespace

std::vector<std::optional<std::uint32_t>> pair_devices(const Results& before, const Results& after) {
  using Device = const DeviceRecord&;
  Pairing pairing(before, after);
  if (before.devices.empty()) return pairing.partners();
  pairing.pair_by([](Device device) {
    return std::optional(std::tuple(device.kind, device.name, device.uuid, device.index));
  });
  pairing.pair_by([](Device device) {
    auto key = std::optional(std::tuple(device.kind, device.name, device.uuid));
    return device.uuid.empty() ? std::nullopt : key;
  });
  pairing.pair_by(
      [](Device device) { return std::optional(std::tuple(device.kind, device.name, device.index)); });
  pairing.pair_by([](Device device) { return std::optional(std::tuple(device.kind, device.name)); });
  pairing.pair_by([](Device device) { return std::optional(device.kind); });
  return pairing.partners();
}

std::vector<std::string> differences(const Results& before, const Results& after) {
  Differences found;
  const auto partners = pair_devices(before, after);
  const auto clocks_then = highest_clocks(before);
  const auto clocks_now = highest_clocks(after);
  std::vector<bool> is_left(before.devices.size(), true);
  for (std::uint32_t i = 0; i < partners.size(); ++i) {
    const auto& now = after.devices[i];
    if (!partners[i]) {
      found.add("`" + now.name + "` is only in the new run");
      continue;
    }
    const auto& then = before.devices[*partners[i]];
    is_left[*partners[i]] = false;
    if (then.name != now.name) {
      found.add("device", then.name, now.name);  // nothing else of them is alike either
      continue;
    }
    add_device(found, then, now);
    if (now.kind == "cpu") continue;  // whose clock follows its load by more than any limit here
    const std::string of = " of `" + now.name + "` while measuring";
    const auto& clocks = clocks_then[*partners[i]];
    found.add_if_apart("clock" + of, clocks.device, clocks_now[i].device, " MHz");
    found.add_if_apart("memory clock" + of, clocks.memory, clocks_now[i].memory, " MHz");
  }
  for (std::size_t i = 0; i < is_left.size(); ++i)
    if (is_left[i]) found.add("`" + before.devices[i].name + "` is only in the old run");
  found.add("seed of the inputs", std::to_string(before.settings.seed), std::to_string(after.settings.seed));
  found.add("precision", text_of(100 * before.settings.precision) + " %",
            text_of(100 * after.settings.precision) + " %");
  return found.take();
}

}  // namespace kernels::bench
