#include "kernels/resolve/coverage.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "kernels/model/target.h"
#include "kernels/resolve/variants.h"

namespace kernels::resolve {

namespace {

constexpr std::size_t kMostLines = 64;

struct Platform {
  std::string os;
  std::string cpu;
  auto operator<=>(const Platform&) const = default;
};

/// Linux first, and x86_64: what most look for.
auto platform_order(const Platform& platform) {
  return std::tuple(platform.os != "linux", platform.os, platform.cpu != "x86_64", platform.cpu);
}

bool is_on(const Variant& variant, const Platform& platform) {
  return variant.framework == Framework::noarch || (variant.os == platform.os && variant.cpu == platform.cpu);
}

std::vector<Platform> platforms_of(const std::vector<VersionVariants>& versions) {
  std::set<Platform> seen;
  bool any = false;
  for (const auto& version : versions)
    for (const auto& [variant, archs] : version.variants) {
      any = true;
      if (variant.framework != Framework::noarch) seen.insert({.os = variant.os, .cpu = variant.cpu});
    }
  std::vector<Platform> out(seen.begin(), seen.end());
  std::ranges::sort(out, {}, platform_order);
  if (out.empty() && any) out.emplace_back();
  return out;
}

/// Keeps the last ones, which are the newest; returns how many went.
template <class T>
std::size_t keep_newest(std::vector<T>& values) {
  if (values.size() <= kMostLines) return 0;
  auto extra = values.size() - kMostLines;
  values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(extra));
  return extra;
}

std::vector<CoverageRow> rows_of(const std::vector<VersionVariants>& versions, const Platform& platform) {
  std::set<CoverageRow> with_torch;
  std::set<CoverageRow> without;
  bool is_linux = platform.os == "linux";
  for (const auto& version : versions)
    for (const auto& [variant, archs] : version.variants) {
      if (!is_on(variant, platform)) continue;
      CoverageRow row;
      if (variant.framework == Framework::tvm_ffi) row.tvm_ffi = variant.framework_version;
      bool needs_torch =
          variant.framework == Framework::torch || variant.framework == Framework::torch_stable;
      if (needs_torch) row.torch = variant.framework_version;
      if (needs_torch && is_linux) row.cxx11_abi = variant.cxx11_abi.value_or(true);
      (needs_torch ? with_torch : without).insert(row);
    }
  std::vector<CoverageRow> out(with_torch.begin(), with_torch.end());
  // Without torch: first the machines that have nothing at all.
  out.insert(out.end(), without.begin(), without.end());
  return out;
}

auto column_order(const Backend& backend) {
  return std::tuple(static_cast<int>(backend.kind), backend.version);
}

/// The backend that a Python-only variant is for; nothing for `universal` and for names that nothing has.
std::optional<Backend> noarch_backend(const std::string& name) {
  auto kind = Backend::kind_from_name(name == "npu" ? "cann" : name);
  if (!kind || name == "cann") return std::nullopt;
  return Backend{.kind = *kind, .version = std::nullopt};
}

bool can_be_on(const Backend& backend, const Platform& platform) {
  bool is_mac = platform.os == "darwin";
  if (backend.kind == BackendKind::metal) return is_mac || platform.os.empty();
  return !is_mac || backend.kind == BackendKind::cpu;
}

std::vector<Backend> columns_of(const std::vector<VersionVariants>& versions, const Platform& platform) {
  std::vector<Backend> out;
  std::vector<Backend> python_only;
  for (const auto& version : versions)
    for (const auto& [variant, archs] : version.variants) {
      if (!is_on(variant, platform)) continue;
      if (variant.framework != Framework::noarch)
        out.push_back(meant_backend(variant.backend));
      else if (auto backend = noarch_backend(variant.noarch_name); backend && can_be_on(*backend, platform))
        python_only.push_back(*backend);
    }
  for (const auto& backend : python_only)
    if (std::ranges::find(out, backend.kind, &Backend::kind) == out.end()) out.push_back(backend);
  if (out.empty()) out.emplace_back();
  std::ranges::sort(out, {}, column_order);
  auto repeated = std::ranges::unique(out);
  out.erase(repeated.begin(), repeated.end());
  return out;
}

Target machine_of(const Platform& platform, const CoverageRow& row, const Backend& column) {
  Target target;
  target.os = platform.os;
  target.cpu = platform.cpu;
  target.torch = row.torch;
  target.cxx11_abi = row.cxx11_abi;
  target.tvm_ffi = row.tvm_ffi;
  target.backend = column;
  if (platform.os == "darwin") target.macos = MajorMinor{.major = 26, .minor = 0};
  return target;
}

/// The capability that an architecture names; nothing for `gfx90a` and other names.
std::optional<MajorMinor> capability_of(const std::string& base) {
  if (arch_covers(base, {}) == Covered::unknown) return std::nullopt;
  auto number = MajorMinor::parse(base);
  return number ? std::optional(*number) : std::nullopt;
}

/// All architectures that builds of one backend declare: other names, then numbers in their order.
std::vector<std::string> architectures(const std::vector<const DeclaredVariant*>& builds, BackendKind kind) {
  std::set<std::pair<std::optional<MajorMinor>, std::string>> seen;
  for (const auto* build : builds)
    if (has_gpu_code(build->variant) && build->variant.backend.kind == kind)
      for (const auto& arch : build->archs)
        seen.emplace(capability_of(base_arch(arch)), base_arch(arch));
  std::vector<std::string> out;
  for (const auto& [number, name] : seen)
    out.push_back(name);
  return out;
}

bool declares(const std::vector<std::string>& archs, const std::string& wanted) {
  if (auto capability = capability_of(wanted)) return archs_cover(archs, *capability) == Covered::yes;
  return std::ranges::any_of(archs, [&](const std::string& arch) { return base_arch(arch) == wanted; });
}

CoverageCell cell_of(const DeclaredVariant* chosen,
                     const std::map<BackendKind, std::vector<std::string>>& all) {
  CoverageCell cell;
  if (chosen == nullptr) return cell;
  cell.chosen = *chosen;
  if (!has_gpu_code(chosen->variant) || chosen->archs.empty()) return cell;
  for (const auto& arch : all.at(chosen->variant.backend.kind))
    if (!declares(chosen->archs, arch)) cell.missing.push_back(arch);
  return cell;
}

void fill(CoverageTable& table, const VersionVariants& version, const Platform& platform) {
  std::vector<const DeclaredVariant*> builds;
  std::vector<Variant> variants;
  std::map<std::string, const DeclaredVariant*> by_name;
  for (const auto& build : version.variants) {
    if (!is_on(build.variant, platform)) continue;
    builds.push_back(&build);
    variants.push_back(build.variant);
    by_name.emplace(build.variant.name(), &build);
  }
  std::map<BackendKind, std::vector<std::string>> all;
  for (auto kind : {BackendKind::cuda, BackendKind::rocm})
    all[kind] = architectures(builds, kind);
  std::set<std::string> accepted;
  for (const auto& row : table.rows) {
    auto& cells = table.cells.emplace_back();
    for (const auto& column : table.columns) {
      auto decisions = decide(variants, machine_of(platform, row, column));
      const DeclaredVariant* chosen = nullptr;
      for (const auto& decision : decisions) {
        if (!decision.accepted()) break;
        auto name = decision.variant.name();
        if (chosen == nullptr) chosen = by_name.at(name);
        accepted.insert(std::move(name));
      }
      cells.push_back(cell_of(chosen, all));
    }
  }
  for (const auto& [name, build] : by_name) {
    bool for_others =
        build->variant.framework == Framework::noarch && noarch_backend(build->variant.noarch_name);
    if (!accepted.contains(name) && !for_others) table.unreachable.push_back(name);
  }
}

}  // namespace

std::string CoverageRow::display() const {
  if (torch) return torch->str() + (cxx11_abi.value_or(true) ? "" : ", old C++ ABI");
  return tvm_ffi ? "no torch, tvm-ffi " + tvm_ffi->str() : "no torch";
}

bool CoverageCell::is_unknown() const {
  return chosen && has_gpu_code(chosen->variant) && chosen->archs.empty();
}

std::string base_arch(const std::string& arch) {
  if (arch_covers(arch, {}) == Covered::unknown) return arch.substr(0, arch.find(':'));
  auto end = arch.find_first_not_of("0123456789.");
  return arch.substr(0, end);
}

Coverage coverage_of(const std::vector<VersionVariants>& versions) {
  Coverage out;
  auto platforms = platforms_of(versions);
  for (std::size_t i = 0; i < versions.size(); ++i)
    for (const auto& platform : platforms) {
      CoverageTable table{.index = i,
                          .version = versions[i].version,
                          .name = versions[i].name,
                          .os = platform.os,
                          .cpu = platform.cpu,
                          .rows = rows_of(versions, platform),
                          .columns = columns_of(versions, platform),
                          .cells = {},
                          .unreachable = {}};
      table.left_out = keep_newest(table.rows) + keep_newest(table.columns);
      fill(table, versions[i], platform);
      out.tables.push_back(std::move(table));
    }
  return out;
}

}  // namespace kernels::resolve
