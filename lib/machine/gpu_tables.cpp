#include "gpu_tables.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace kernels::machine {

namespace {

struct Block {
  std::uint16_t first;
  std::uint16_t last;
  MajorMinor capability;
};

constexpr std::array kBlocks = {
    Block{.first = 0x13c0, .last = 0x13ff, .capability = {.major = 5, .minor = 2}},   // GM204
    Block{.first = 0x15f0, .last = 0x15ff, .capability = {.major = 6, .minor = 0}},   // GP100
    Block{.first = 0x17c0, .last = 0x17ff, .capability = {.major = 5, .minor = 2}},   // GM200
    Block{.first = 0x1b00, .last = 0x1d7f, .capability = {.major = 6, .minor = 1}},   // GP102 … GP108
    Block{.first = 0x1d80, .last = 0x1dff, .capability = {.major = 7, .minor = 0}},   // GV100
    Block{.first = 0x1e00, .last = 0x1fff, .capability = {.major = 7, .minor = 5}},   // TU102 … TU117
    Block{.first = 0x2080, .last = 0x20ff, .capability = {.major = 8, .minor = 0}},   // GA100
    Block{.first = 0x2180, .last = 0x21ff, .capability = {.major = 7, .minor = 5}},   // TU116
    Block{.first = 0x2200, .last = 0x22ff, .capability = {.major = 8, .minor = 6}},   // GA102
    Block{.first = 0x2300, .last = 0x23ff, .capability = {.major = 9, .minor = 0}},   // GH100
    Block{.first = 0x2400, .last = 0x25ff, .capability = {.major = 8, .minor = 6}},   // GA103 … GA107
    Block{.first = 0x2600, .last = 0x28ff, .capability = {.major = 8, .minor = 9}},   // AD102 … AD107
    Block{.first = 0x2900, .last = 0x297f, .capability = {.major = 10, .minor = 0}},  // GB100
    Block{.first = 0x2b80, .last = 0x2dff, .capability = {.major = 12, .minor = 0}},  // GB202, 203, 206, 207
    Block{.first = 0x2e00, .last = 0x2e7f, .capability = {.major = 12, .minor = 1}},  // GB20B
    Block{.first = 0x2f00, .last = 0x2fff, .capability = {.major = 12, .minor = 0}},  // GB205
    Block{.first = 0x3180, .last = 0x31ff, .capability = {.major = 10, .minor = 3}},  // GB110
};

struct Model {
  std::string_view word;
  MajorMinor capability;
};

/// Whole words of a name; the first that is found decides, so that `RTX PRO 6000` comes before `RTX 6000`.
constexpr std::array kModels = {
    Model{.word = "B300", .capability = {.major = 10, .minor = 3}},
    Model{.word = "GB300", .capability = {.major = 10, .minor = 3}},
    Model{.word = "B200", .capability = {.major = 10, .minor = 0}},
    Model{.word = "GB200", .capability = {.major = 10, .minor = 0}},
    Model{.word = "GB10", .capability = {.major = 12, .minor = 1}},
    Model{.word = "RTX PRO", .capability = {.major = 12, .minor = 0}},
    Model{.word = "RTX 5050", .capability = {.major = 12, .minor = 0}},
    Model{.word = "RTX 5060", .capability = {.major = 12, .minor = 0}},
    Model{.word = "RTX 5070", .capability = {.major = 12, .minor = 0}},
    Model{.word = "RTX 5080", .capability = {.major = 12, .minor = 0}},
    Model{.word = "RTX 5090", .capability = {.major = 12, .minor = 0}},
    Model{.word = "H100", .capability = {.major = 9, .minor = 0}},
    Model{.word = "H200", .capability = {.major = 9, .minor = 0}},
    Model{.word = "GH200", .capability = {.major = 9, .minor = 0}},
    Model{.word = "H800", .capability = {.major = 9, .minor = 0}},
    Model{.word = "H20", .capability = {.major = 9, .minor = 0}},
    Model{.word = "L4", .capability = {.major = 8, .minor = 9}},
    Model{.word = "L20", .capability = {.major = 8, .minor = 9}},
    Model{.word = "L40", .capability = {.major = 8, .minor = 9}},
    Model{.word = "L40S", .capability = {.major = 8, .minor = 9}},
    Model{.word = "Ada", .capability = {.major = 8, .minor = 9}},
    Model{.word = "RTX 4060", .capability = {.major = 8, .minor = 9}},
    Model{.word = "RTX 4070", .capability = {.major = 8, .minor = 9}},
    Model{.word = "RTX 4080", .capability = {.major = 8, .minor = 9}},
    Model{.word = "RTX 4090", .capability = {.major = 8, .minor = 9}},
    Model{.word = "A100", .capability = {.major = 8, .minor = 0}},
    Model{.word = "A800", .capability = {.major = 8, .minor = 0}},
    Model{.word = "A30", .capability = {.major = 8, .minor = 0}},
    Model{.word = "A2", .capability = {.major = 8, .minor = 6}},
    Model{.word = "A10", .capability = {.major = 8, .minor = 6}},
    Model{.word = "A10G", .capability = {.major = 8, .minor = 6}},
    Model{.word = "A16", .capability = {.major = 8, .minor = 6}},
    Model{.word = "A40", .capability = {.major = 8, .minor = 6}},
    Model{.word = "A4000", .capability = {.major = 8, .minor = 6}},
    Model{.word = "A5000", .capability = {.major = 8, .minor = 6}},
    Model{.word = "A6000", .capability = {.major = 8, .minor = 6}},
    Model{.word = "RTX 3060", .capability = {.major = 8, .minor = 6}},
    Model{.word = "RTX 3070", .capability = {.major = 8, .minor = 6}},
    Model{.word = "RTX 3080", .capability = {.major = 8, .minor = 6}},
    Model{.word = "RTX 3090", .capability = {.major = 8, .minor = 6}},
    Model{.word = "T4", .capability = {.major = 7, .minor = 5}},
    Model{.word = "T4G", .capability = {.major = 7, .minor = 5}},
    Model{.word = "V100", .capability = {.major = 7, .minor = 0}},
    Model{.word = "P100", .capability = {.major = 6, .minor = 0}},
    Model{.word = "P40", .capability = {.major = 6, .minor = 1}},
    Model{.word = "P4", .capability = {.major = 6, .minor = 1}},
};

struct Release {
  MajorMinor release;
  MajorMinor cuda;
};

/// The first release of Jetson Linux with each CUDA, newest first.
constexpr std::array kTegraReleases = {
    Release{.release = {.major = 38, .minor = 0}, .cuda = {.major = 13, .minor = 0}},
    Release{.release = {.major = 36, .minor = 4}, .cuda = {.major = 12, .minor = 6}},
    Release{.release = {.major = 36, .minor = 2}, .cuda = {.major = 12, .minor = 2}},
    Release{.release = {.major = 34, .minor = 1}, .cuda = {.major = 11, .minor = 4}},
    Release{.release = {.major = 32, .minor = 3}, .cuda = {.major = 10, .minor = 2}},
};

bool is_word_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

bool has_word(std::string_view text, std::string_view word) {
  for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    bool begins = at == 0 || !is_word_character(text[at - 1]);
    bool ends = at + word.size() == text.size() || !is_word_character(text[at + word.size()]);
    if (begins && ends) return true;
  }
  return false;
}

}  // namespace

std::optional<MajorMinor> capability_of_pci_device(std::uint64_t device) {
  for (const auto& block : kBlocks)
    if (device >= block.first && device <= block.last) return block.capability;
  return std::nullopt;
}

std::optional<MajorMinor> capability_of_model(std::string_view name) {
  for (const auto& model : kModels)
    if (has_word(name, model.word)) return model.capability;
  return std::nullopt;
}

std::optional<MajorMinor> capability_of_tegra(std::string_view compatible) {
  if (compatible == "nvidia,tegra264") return MajorMinor{.major = 11, .minor = 0};
  if (compatible == "nvidia,tegra234") return MajorMinor{.major = 8, .minor = 7};
  if (compatible == "nvidia,tegra194") return MajorMinor{.major = 7, .minor = 2};
  if (compatible == "nvidia,tegra186") return MajorMinor{.major = 6, .minor = 2};
  if (compatible == "nvidia,tegra210") return MajorMinor{.major = 5, .minor = 3};
  return std::nullopt;
}

std::optional<std::uint64_t> memory_of_model(std::string_view name) {
  auto unit = name.find("GB");
  auto begin = unit;
  while (begin != std::string_view::npos && begin > 0 &&
         std::isdigit(static_cast<unsigned char>(name[begin - 1])) != 0)
    --begin;
  if (unit == std::string_view::npos || begin == unit || unit - begin > 4) return std::nullopt;
  return std::stoull(std::string(name.substr(begin, unit - begin))) << 30U;
}

std::optional<MajorMinor> cuda_of_tegra_release(std::string_view release) {
  auto version = MajorMinor::parse(release);
  if (!version || version->major > 38) return std::nullopt;
  for (const auto& row : kTegraReleases)
    if (*version >= row.release) return row.cuda;
  return std::nullopt;
}

}  // namespace kernels::machine
