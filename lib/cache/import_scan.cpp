#include <algorithm>
#include <array>

#include "kernels/base/utf8.h"
#include "kernels/model/variant.h"

#include "import_impl.h"

namespace kernels::cache {

namespace fs = std::filesystem;

namespace {

std::unexpected<Error> refused(const fs::path& path, const std::string& why, const std::string& hint) {
  return fail(Error(Errc::integrity, "`" + path.string() + "` " + why).with_hint(hint));
}

/// The folder's entries in a fixed order, so that the first complaint is always the same one.
Result<std::vector<fs::path>> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    out.push_back(it->path());
  if (code) return fail(system_error("list the folder", folder.string(), code.value()));
  std::ranges::sort(out);
  return out;
}

class Scanner {
 public:
  Result<SourceFiles> scan(const fs::path& folder) {
    auto build = folder / "build";
    auto kind = fs::symlink_status(build).type();
    Status done;
    if (kind == fs::file_type::not_found) {
      done = take_variants(folder);
    } else {
      done = take_variants(build);
      if (done) done = take_surroundings(folder);
    }
    if (!done) return fail(std::move(done).error());
    if (found_.variants.empty()) return no_variant(folder);
    return std::move(found_);
  }

 private:
  static std::unexpected<Error> no_variant(const fs::path& folder) {
    Error error(Errc::not_found, "`" + folder.string() + "` holds no build variant");
    if (fs::exists(folder / "metadata.json"))
      return fail(std::move(error).with_hint("it looks like one variant itself: name the folder above it"));
    return fail(std::move(error).with_hint(
        "name a folder with `build/<variant>/…`, for example `build/torch-cpu/__init__.py`"));
  }

  void skip(const fs::path& path, const std::string& reason) {
    found_.skipped.push_back({.path = path.string(), .reason = reason});
  }

  Status take_variants(const fs::path& build) {
    if (!fs::is_directory(fs::symlink_status(build)) && build.filename() == "build")
      return refused(build, "is not a folder of its own", "copy what it stands for with `cp -rL`");
    auto entries = sorted_entries(build);
    if (!entries) return fail(std::move(entries).error());
    for (const auto& entry : *entries) {
      auto name = entry.filename().string();
      auto variant = parse_variant(name);
      if (!variant || variant->name() != name) {
        skip(entry, "not the name of a build variant");
        continue;
      }
      if (auto taken = take(entry, "build/" + name); !taken) return taken;
      if (fs::is_directory(fs::symlink_status(entry))) found_.variants.push_back(name);
    }
    return {};
  }

  /// The files beside `build/` that mean something on the Hub.
  Status take_surroundings(const fs::path& folder) {
    constexpr std::array<std::string_view, 5> kTaken = {"README.md", "LICENSE", "LICENSE.md",
                                                        "kernel-status.toml", "benchmarks"};
    auto entries = sorted_entries(folder);
    if (!entries) return fail(std::move(entries).error());
    for (const auto& entry : *entries) {
      auto name = entry.filename().string();
      if (name == "build") continue;
      if (std::ranges::find(kTaken, name) == kTaken.end()) {
        skip(entry, "not part of a kernel repository");
        continue;
      }
      if (auto taken = take(entry, name); !taken) return taken;
    }
    return {};
  }

  Status take(const fs::path& source, const std::string& place) {
    auto path = RepoPath::parse(place);
    if (!path || !is_utf8(place))
      return refused(source, "has a name that no snapshot may hold", "rename it: plain UTF-8, no backslash");
    if (path->is_bytecode()) return {};
    auto kind = fs::symlink_status(source).type();
    if (kind == fs::file_type::symlink)
      return refused(source, "is a symbolic link", "copy the tree with `cp -rL`, which follows links");
    if (kind == fs::file_type::regular) {
      found_.files.push_back({.source = source, .path = *path});
      return {};
    }
    if (kind != fs::file_type::directory)
      return refused(source, "is neither a file nor a folder", "remove it");
    auto entries = sorted_entries(source);
    if (!entries) return fail(std::move(entries).error());
    for (const auto& entry : *entries)
      if (auto taken = take(entry, place + "/" + entry.filename().string()); !taken) return taken;
    return {};
  }

  SourceFiles found_;
};

}  // namespace

Result<SourceFiles> scan_source(const fs::path& folder) {
  std::error_code code;
  if (!fs::is_directory(folder, code))
    return fail(Errc::not_found, "there is no folder `" + folder.string() + "`");
  try {
    return Scanner().scan(folder);
  } catch (const fs::filesystem_error& error) {
    return fail(system_error("examine", error.path1().string(), error.code().value()));
  }
}

}  // namespace kernels::cache
