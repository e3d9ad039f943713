#include "kernels/model/cuda_releases.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace kernels {

static constexpr std::array kReleases = {
    CudaRelease{.cuda = {.major = 10, .minor = 0}, .ptx = {.major = 6, .minor = 3}, .driver = "410.48"},
    CudaRelease{.cuda = {.major = 10, .minor = 1}, .ptx = {.major = 6, .minor = 4}, .driver = "418.39"},
    CudaRelease{.cuda = {.major = 10, .minor = 2}, .ptx = {.major = 6, .minor = 5}, .driver = "440.33"},
    CudaRelease{.cuda = {.major = 11, .minor = 0}, .ptx = {.major = 7, .minor = 0}, .driver = "450.36.06"},
    CudaRelease{.cuda = {.major = 11, .minor = 1}, .ptx = {.major = 7, .minor = 1}, .driver = "455.23"},
    CudaRelease{.cuda = {.major = 11, .minor = 2}, .ptx = {.major = 7, .minor = 2}, .driver = "460.27.03"},
    CudaRelease{.cuda = {.major = 11, .minor = 3}, .ptx = {.major = 7, .minor = 3}, .driver = "465.19.01"},
    CudaRelease{.cuda = {.major = 11, .minor = 4}, .ptx = {.major = 7, .minor = 4}, .driver = "470.42.01"},
    CudaRelease{.cuda = {.major = 11, .minor = 5}, .ptx = {.major = 7, .minor = 5}, .driver = "495.29.05"},
    CudaRelease{.cuda = {.major = 11, .minor = 6}, .ptx = {.major = 7, .minor = 6}, .driver = "510.39.01"},
    CudaRelease{.cuda = {.major = 11, .minor = 7}, .ptx = {.major = 7, .minor = 7}, .driver = "515.43.04"},
    CudaRelease{.cuda = {.major = 11, .minor = 8}, .ptx = {.major = 7, .minor = 8}, .driver = "520.61.05"},
    CudaRelease{.cuda = {.major = 12, .minor = 0}, .ptx = {.major = 8, .minor = 0}, .driver = "525.60.13"},
    CudaRelease{.cuda = {.major = 12, .minor = 1}, .ptx = {.major = 8, .minor = 1}, .driver = "530.30.02"},
    CudaRelease{.cuda = {.major = 12, .minor = 2}, .ptx = {.major = 8, .minor = 2}, .driver = "535.54.03"},
    CudaRelease{.cuda = {.major = 12, .minor = 3}, .ptx = {.major = 8, .minor = 3}, .driver = "545.23.06"},
    CudaRelease{.cuda = {.major = 12, .minor = 4}, .ptx = {.major = 8, .minor = 4}, .driver = "550.54.14"},
    CudaRelease{.cuda = {.major = 12, .minor = 5}, .ptx = {.major = 8, .minor = 5}, .driver = "555.42.02"},
    CudaRelease{.cuda = {.major = 12, .minor = 6}, .ptx = {.major = 8, .minor = 5}, .driver = "560.28.03"},
    CudaRelease{.cuda = {.major = 12, .minor = 7}, .ptx = {.major = 8, .minor = 6}, .driver = "565.57.01"},
    CudaRelease{.cuda = {.major = 12, .minor = 8}, .ptx = {.major = 8, .minor = 7}, .driver = "570.26"},
    CudaRelease{.cuda = {.major = 12, .minor = 9}, .ptx = {.major = 8, .minor = 8}, .driver = "575.51.03"},
    CudaRelease{.cuda = {.major = 13, .minor = 0}, .ptx = {.major = 9, .minor = 0}, .driver = "580.65.06"},
    CudaRelease{.cuda = {.major = 13, .minor = 1}, .ptx = {.major = 9, .minor = 1}, .driver = "590.44.01"},
    CudaRelease{.cuda = {.major = 13, .minor = 2}, .ptx = {.major = 9, .minor = 2}, .driver = "595.45.04"},
};

/// The first number of a version, which is the branch of a driver.
static std::uint64_t next_number(std::string_view& rest) {
  std::uint64_t number = 0;
  auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  rest.remove_prefix(code == std::errc() ? static_cast<std::size_t>(end - rest.data()) : rest.size());
  if (rest.starts_with('.')) rest.remove_prefix(1);
  return number;
}

std::span<const CudaRelease> cuda_releases() {
  return kReleases;
}

std::strong_ordering compare_dotted(std::string_view one, std::string_view other) {
  while (!one.empty() || !other.empty()) {
    auto order = next_number(one) <=> next_number(other);
    if (order != 0) return order;
  }
  return std::strong_ordering::equal;
}

bool is_new_enough(std::string_view has, std::string_view needed) {
  auto parts = std::ranges::count(has, '.');
  auto end = needed.size();
  for (std::size_t i = 0; i < needed.size(); ++i)
    if (needed[i] == '.' && parts-- == 0) {
      end = i;
      break;
    }
  return compare_dotted(has, needed.substr(0, end)) >= 0;
}

std::string driver_for_ptx(MajorMinor version) {
  for (const auto& release : kReleases)
    if (release.ptx >= version) return std::string(release.driver);
  return {};
}

std::string driver_for_cuda(std::uint32_t major) {
  for (const auto& release : kReleases)
    if (release.cuda.major == major) return std::string(release.driver);
  return {};
}

std::optional<MajorMinor> cuda_of_driver(std::string_view driver) {
  auto branch = next_number(driver);
  std::optional<MajorMinor> out;
  for (const auto& release : kReleases) {
    auto known = release.driver;
    auto number = next_number(known);
    if (number > branch) return out;
    out = release.cuda;
    // A branch that is newer than any of the table may run anything.
    if (&release == &kReleases.back() && number < branch) return std::nullopt;
  }
  return out;
}

}  // namespace kernels
