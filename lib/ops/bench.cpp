#include "kernels/ops/bench.h"

#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/ops/query.h"

#include "bench_ready.h"
#include "variant_content.h"

namespace kernels::ops {

namespace fs = std::filesystem;

static Error not_ready(const CheckRow& row) {
  std::string name = "`" + row.kernel + "`";
  switch (row.verdict) {
    case Verdict::no_variant: {
      std::string text = "no variant of " + name + " fits " + row.target;
      for (const auto& decision : row.decisions)
        text += "\n  " + decision.variant.name() + ": " + decision.reason;
      return Error(Errc::no_match, text);
    }
    case Verdict::damaged:
      return Error(Errc::integrity,
                   name + " has other bytes in the cache than were locked: " + row.damaged.front())
          .with_hint("run `kernels download` to fetch it again");
    case Verdict::incomplete:
      break;
    default:
      for (const auto& item : row.items)
        if (item.state == State::bad)
          return Error(Errc::no_match, name + ": " + to_string(row.verdict) + ": " + item.text)
              .with_hint(item.hint);
      return Error(Errc::no_match, name + ": " + to_string(row.verdict))
          .with_hint("`kernels check` says more");
  }
  return Error(Errc::not_found,
               name + " is not complete in the cache: " + row.missing.front() + " is missing")
      .with_hint("run `kernels download`");
}

Result<std::vector<ReadyKernel>> ready_kernels(const cache::Layout& layout, const LockFiles& files,
                                               const Target& target, const std::stop_token& stop) {
  auto report = check_lock(
      layout, files, {.targets = {target}, .modes = {}, .python_packages = {}}, [](const Event&) {}, stop);
  if (!report) return fail(std::move(report).error());
  std::vector<ReadyKernel> out;
  for (const auto& row : report->rows) {
    auto& kernel = out.emplace_back();
    if (!is_good(row.verdict)) {
      kernel.problem = not_ready(row);
      continue;
    }
    kernel.target =
        BenchTarget{.kernel = row.kernel,
                    .commit = row.commit,
                    .variant = row.variant,
                    .folder = layout.snapshot(*row.repo, *Commit::parse(row.commit)) / "build" / row.variant};
  }
  return out;
}

Result<std::vector<BenchTarget>> locked_bench_targets(const cache::Layout& layout, const LockFiles& files,
                                                      const Target& target, const std::stop_token& stop) {
  auto kernels = ready_kernels(layout, files, target, stop);
  if (!kernels) return fail(std::move(kernels).error());
  std::vector<BenchTarget> out;
  for (auto& kernel : *kernels) {
    if (!kernel.target) return fail(std::move(*kernel.problem));
    out.push_back(std::move(*kernel.target));
  }
  for (auto& target : out)
    for (const auto& other : out)
      if (other.kernel != target.kernel) target.needs[other.kernel] = other.folder;
  return out;
}

/// The repository of a variant's folder, `build/<variant>` or `<variant>`.
static fs::path repository_of(const fs::path& variant) {
  std::error_code code;
  auto whole = fs::absolute(variant, code).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  const auto above = whole.parent_path();
  return above.filename() == "build" ? above.parent_path() : above;
}

Result<BenchTarget> local_bench_target(const fs::path& folder, const Target& target) {
  std::error_code code;
  if (fs::exists(folder / "metadata.json", code)) {
    auto whole = fs::absolute(folder, code).lexically_normal();
    if (!whole.has_filename()) whole = whole.parent_path();
    return BenchTarget{.kernel = folder.string(),
                       .commit = {},
                       .variant = whole.filename().string(),
                       .folder = folder,
                       .scripts = repository_of(folder)};
  }
  auto variants = list_local_variants(folder, target);
  if (!variants) return fail(std::move(variants).error());
  const auto& decisions = variants->revisions.front().decisions;
  if (decisions.empty() || !decisions.front().accepted()) {
    std::string text = "no variant in `" + folder.string() + "` fits " + target.display();
    for (const auto& decision : decisions)
      text += "\n  " + decision.variant.name() + ": " + decision.reason;
    return fail(Errc::no_match, text);
  }
  auto name = decisions.front().variant.name();
  auto build = fs::is_directory(folder / "build", code) ? folder / "build" : folder;
  return BenchTarget{.kernel = folder.string(),
                     .commit = {},
                     .variant = name,
                     .folder = build / name,
                     .scripts = repository_of(build / name)};
}

Result<std::string> variant_fingerprint(const fs::path& folder) {
  auto content = folder_content(folder);
  if (!content) return fail(std::move(content).error());
  Hasher all(HashAlgorithm::sha256);
  for (const auto& file : (*content)->files()) {
    auto bytes = read_file(folder / file.path, 4ULL << 30);
    if (!bytes) return fail(std::move(bytes).error());
    all.update(sha256_hex(*bytes) + "  " + file.path + "\n");
  }
  return to_hex(all.finish());
}

}  // namespace kernels::ops
