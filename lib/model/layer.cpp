#include "kernels/model/layer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/base/nearest.h"

namespace kernels {

static const std::array<std::pair<std::string_view, Mode>, 4>& mode_names() {
  static const std::array<std::pair<std::string_view, Mode>, 4> names = {
      {{"inference", Mode::inference},
       {"training", Mode::training},
       {"torch-compile", Mode::torch_compile},
       {"fallback", Mode::fallback}}};
  return names;
}

Status Mode::validate() const {
  if (has(inference) && has(training))
    return fail(Error(Errc::invalid_argument, "the modes `inference` and `training` exclude each other")
                    .with_hint("register the kernel once for each of them"));
  if (has(fallback) && *this != fallback)
    return fail(Errc::invalid_argument, "the mode `fallback` cannot be combined with another mode");
  if (*this == torch_compile)
    return fail(Error(Errc::invalid_argument, "the mode `torch-compile` does not stand alone")
                    .with_hint("write `inference|torch-compile` or `training|torch-compile`"));
  return {};
}

Result<Mode> Mode::combine(Mode a, Mode b) {
  Mode both = a | b;
  if (both == torch_compile) return both;  // a flag that waits for its other half
  if (auto valid = both.validate(); !valid) return fail(std::move(valid).error());
  return both;
}

Result<Mode> Mode::parse(std::string_view text) {
  std::optional<Mode> mode;
  for (std::size_t begin = 0; begin <= text.size();) {
    auto end = std::min(text.find('|', begin), text.size());
    auto word = text.substr(begin, end - begin);
    const auto* found = std::ranges::find(mode_names(), word, [](const auto& item) { return item.first; });
    if (found == mode_names().end())
      return fail(Error(Errc::invalid_argument, "`" + std::string(text) + "` is not a mode")
                      .with_hint("write `inference` or `training`, alone or with `|torch-compile`, or "
                                 "`fallback`"));
    auto sum = mode ? combine(*mode, found->second) : Result<Mode>(found->second);
    if (!sum) return sum;
    mode = *sum;
    begin = end + 1;
  }
  if (auto valid = mode->validate(); !valid) return fail(std::move(valid).error());
  return *mode;
}

std::string Mode::str() const {
  std::string out;
  for (const auto& [name, flag] : mode_names())
    if (has(flag)) out += (out.empty() ? "" : "|") + std::string(name);
  return out;
}

const std::vector<std::string>& device_names() {
  static const std::vector<std::string> names = {"cuda", "rocm", "xpu", "mps", "npu", "neuron", "tpu", "cpu"};
  return names;
}

std::string to_string(DeviceType device) {
  return device_names()[static_cast<std::size_t>(device)];
}

Result<DeviceType> parse_device(std::string_view text) {
  const auto& names = device_names();
  auto found = std::ranges::find(names, text);
  if (found != names.end()) return static_cast<DeviceType>(found - names.begin());
  auto guess = nearest(text, names);
  return fail(Error(Errc::invalid_argument, "`" + std::string(text) + "` is not a device")
                  .with_hint(guess ? "did you mean `" + *guess + "`?"
                                   : "devices are cuda, rocm, xpu, mps, npu, neuron, tpu and cpu"));
}

}  // namespace kernels
