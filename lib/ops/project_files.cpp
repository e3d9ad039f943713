#include "kernels/ops/project_files.h"

#include <algorithm>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"

namespace kernels::ops {

namespace fs = std::filesystem;

static Result<std::optional<Project>> load_one(const fs::path& file, ProjectFormat format) {
  auto text = read_file(file, 4 << 20);
  if (!text && text.error().code() == Errc::not_found) return std::nullopt;
  if (!text) return fail(std::move(text).error());
  auto project = parse_project(*text, format, file.lexically_normal().string());
  if (!project) return fail(std::move(project).error());
  return std::move(*project);
}

Result<Project> load_project(const fs::path& folder) {
  std::error_code code;
  if (!fs::is_directory(folder, code))
    return fail(Error(Errc::invalid_argument, "there is no folder `" + folder.string() + "`")
                    .with_hint("give the folder of a project"));
  auto own = load_one(folder / "kernels.toml", ProjectFormat::kernels_toml);
  if (!own) return fail(std::move(own).error());
  auto python = load_one(folder / "pyproject.toml", ProjectFormat::pyproject);
  if (!python) return fail(std::move(python).error());
  bool both = *own && *python && (*own)->has_dependencies_table && (*python)->has_dependencies_table;
  if (both)
    return fail(Error(Errc::invalid_argument, "both `" + (*own)->file + "` and `" + (*python)->file +
                                                  "` have a table of kernel dependencies")
                    .with_hint("keep it in one of them"));
  if (*own && ((*own)->has_dependencies_table || !*python || !(*python)->has_dependencies_table))
    return std::move(**own);
  if (*python) return std::move(**python);
  return fail(
      Error(Errc::not_found, "`" + folder.string() + "` has neither `kernels.toml` nor `pyproject.toml`")
          .with_hint("make a `kernels.toml` with `[dependencies]`, for example "
                     "`\"kernels-community/activation\" = 1`"));
}

Result<std::optional<Project>> find_project(const fs::path& folder) {
  std::error_code code;
  bool any = fs::exists(fs::symlink_status(folder / "kernels.toml", code)) ||
             fs::exists(fs::symlink_status(folder / "pyproject.toml", code));
  if (!any) return std::nullopt;
  auto project = load_project(folder);
  if (!project) return fail(std::move(project).error());
  return std::move(*project);
}

static bool has_variant_hashes(const LockedKernel& kernel, const LockPin& pin) {
  return std::ranges::all_of(pin.variant_hashes, [&](const auto& locked) {
    auto variant = std::ranges::find(kernel.variants, locked.first, &LockedVariant::name);
    return variant != kernel.variants.end() &&
           variant_hash(variant->files, "build/" + locked.first) == locked.second;
  });
}

/// Whether both files say the same. People review `kernels.lock`; what is downloaded stands in `kernels.sum`.
static bool agree(const LockPins& pins, const Lock& sum) {
  auto says = [](const LockedKernel& kernel, const LockPin& pin) {
    return kernel.repo == pin.repo && kernel.commit == pin.commit;
  };
  bool all_pins = std::ranges::all_of(pins.pins, [&](const LockPin& pin) {
    return std::ranges::any_of(sum.kernels, [&](const LockedKernel& kernel) {
      return says(kernel, pin) && has_variant_hashes(kernel, pin);
    });
  });
  return all_pins && std::ranges::all_of(sum.kernels, [&](const LockedKernel& kernel) {
           bool is_left_out = pins.form == LockForm::v1 && !kernel.direct;
           return is_left_out ||
                  std::ranges::any_of(pins.pins, [&](const LockPin& pin) { return says(kernel, pin); });
         });
}

static Result<std::optional<Lock>> load_sum(const fs::path& file, std::string_view lock_text,
                                            const LockPins& pins) {
  auto text = read_file(file, 256 << 20);
  if (!text && text.error().code() == Errc::not_found) return std::nullopt;
  if (!text) return fail(std::move(text).error());
  auto sum = parse_sum(*text, "`" + file.lexically_normal().string() + "`");
  if (!sum && sum.error().code() == Errc::corrupt)
    return fail(std::move(sum).error().as(Errc::invalid_argument));
  if (!sum) return fail(std::move(sum).error());
  if (sum->lock_sha256 != sha256_hex(lock_text))
    return fail(
        Error(Errc::integrity, "`" + file.lexically_normal().string() + "` belongs to another `kernels.lock`")
            .with_hint("run `kernels lock` to write both anew, or restore both from one commit"));
  if (!agree(pins, sum->lock))
    return fail(Error(Errc::integrity, "`" + file.lexically_normal().string() +
                                           "` names other kernels, commits or bytes than its `kernels.lock`")
                    .with_hint("somebody changed one of them by hand; restore both from one commit"));
  return std::move(sum->lock);
}

Result<std::optional<LockFiles>> load_lock_files(const fs::path& folder) {
  auto file = folder / "kernels.lock";
  auto text = read_file(file, 64 << 20);
  if (!text && text.error().code() == Errc::not_found) return std::nullopt;
  if (!text) return fail(std::move(text).error());
  auto pins = parse_lock(*text, "`" + file.lexically_normal().string() + "`");
  if (!pins) return fail(std::move(pins).error().as(Errc::invalid_argument));
  auto sum = load_sum(folder / "kernels.sum", *text, *pins);
  if (!sum) return fail(std::move(sum).error());
  return LockFiles{
      .folder = folder, .lock_text = std::move(*text), .pins = std::move(*pins), .sum = std::move(*sum)};
}

static Status write_if_changed(const fs::path& file, const std::string& content) {
  if (auto old = read_file(file, 256 << 20); old && *old == content) return {};
  return write_file(file, content, Durable::yes);
}

Status write_lock_files(const fs::path& folder, const Lock& lock, LockForm form) {
  auto text = render_lock(lock, form);
  if (auto written = write_if_changed(folder / "kernels.sum", render_sum(lock, text)); !written)
    return written;
  return write_if_changed(folder / "kernels.lock", text);
}

}  // namespace kernels::ops
