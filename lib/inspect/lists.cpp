#include "lists.h"

#include <algorithm>
#include <map>

namespace kernels::inspect {

namespace {

using Table = std::map<std::string_view, std::vector<std::string_view>>;

Table by_first_word(std::string_view text) {
  Table out;
  for (auto& line : read_list(text)) {
    auto name = line.front();
    line.erase(line.begin());
    out.emplace(name, std::move(line));
  }
  return out;
}

MajorMinor version_in(std::string_view word) {
  return MajorMinor::parse(word).value_or(MajorMinor{});
}

}  // namespace

std::vector<std::vector<std::string_view>> read_list(std::string_view text) {
  std::vector<std::vector<std::string_view>> out;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with('#')) continue;
    std::vector<std::string_view> words;
    while (!line.empty()) {
      auto word = line.substr(0, line.find(' '));
      line.remove_prefix(std::min(word.size() + 1, line.size()));
      if (!word.empty()) words.push_back(word);
    }
    if (!words.empty()) out.push_back(std::move(words));
  }
  return out;
}

std::optional<MajorMinor> python_symbol_added(std::string_view name) {
  static const Table table = by_first_word(python_abi_text());
  auto found = table.find(name);
  if (found == table.end() || found->second.empty()) return std::nullopt;
  return version_in(found->second.front());
}

std::optional<ShimRange> torch_shim_range(std::string_view name) {
  static const Table table = by_first_word(torch_shim_text());
  auto found = table.find(name);
  if (found == table.end() || found->second.empty()) return std::nullopt;
  ShimRange range{.first = version_in(found->second.front()), .gone = std::nullopt};
  if (found->second.size() > 1) range.gone = version_in(found->second[1]);
  return range;
}

std::string_view tvm_ffi_added(std::string_view name) {
  static const Table table = by_first_word(tvm_ffi_text());
  auto found = table.find(name);
  return found == table.end() || found->second.empty() ? std::string_view() : found->second.front();
}

const std::vector<PolicyRow>& policy_rows() {
  static const auto rows = [] {
    std::vector<PolicyRow> out;
    for (const auto& line : read_list(manylinux_text()))
      if (line.size() == 4 && line[2] != "library")
        out.push_back({.policy = line[0], .cpu = line[1], .family = line[2], .version = line[3]});
    return out;
  }();
  return rows;
}

const std::vector<std::string_view>& policy_libraries() {
  static const auto names = [] {
    std::vector<std::string_view> out;
    for (const auto& line : read_list(manylinux_text()))
      if (line.size() == 4 && line[2] == "library") out.push_back(line[3]);
    return out;
  }();
  return names;
}

}  // namespace kernels::inspect
