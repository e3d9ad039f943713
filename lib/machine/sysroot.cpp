#include "kernels/machine/sysroot.h"

#include <algorithm>
#include <deque>
#include <span>

#include <fcntl.h>
#include <sys/stat.h>

#include "kernels/base/file.h"

namespace kernels::machine {

namespace fs = std::filesystem;

static constexpr int kMaxLinks = 40;
static constexpr std::size_t kMaxNames = 16'384;

Result<Sysroot> Sysroot::at(const fs::path& folder) {
  std::error_code code;
  auto root = fs::canonical(folder, code);
  if (code || !fs::is_directory(root, code))
    return fail(Error(Errc::invalid_argument, "there is no folder `" + folder.string() + "`")
                    .with_hint("give the root folder of a machine or an unpacked image"));
  Sysroot out;
  out.root_ = std::move(root);
  return out;
}

/// Puts the names of `path` before those that are still to be walked.
static void prepend(std::deque<std::string>& names, const fs::path& path) {
  std::vector<std::string> added;
  for (const auto& part : path.relative_path())
    if (!part.empty() && part != ".") added.push_back(part.string());
  names.insert(names.begin(), added.begin(), added.end());
}

std::optional<fs::path> Sysroot::real(const fs::path& path) const {
  std::deque<std::string> left;
  prepend(left, path);
  fs::path at = "/";
  for (int links = 0; !left.empty();) {
    auto name = std::move(left.front());
    left.pop_front();
    if (name == "..") {
      at = at.parent_path();  // that of the root is the root
      continue;
    }
    auto here = at / name;
    auto on_disk = root_ / here.relative_path();
    std::error_code code;
    auto status = fs::symlink_status(on_disk, code);
    if (code || !fs::exists(status)) return std::nullopt;
    if (!fs::is_symlink(status)) {
      at = std::move(here);
      continue;
    }
    auto link = fs::read_symlink(on_disk, code);
    if (code || ++links > kMaxLinks) return std::nullopt;
    if (link.is_absolute()) at = "/";
    prepend(left, link);
  }
  return at;
}

std::optional<fs::path> Sysroot::on_disk(const fs::path& path) const {
  if (is_here()) return path;
  auto inside = real(path);
  if (!inside) return std::nullopt;
  return root_ / inside->relative_path();
}

bool Sysroot::is_file(const fs::path& path) const {
  auto place = on_disk(path);
  std::error_code code;
  return place && fs::is_regular_file(*place, code);
}

bool Sysroot::is_folder(const fs::path& path) const {
  auto place = on_disk(path);
  std::error_code code;
  return place && fs::is_directory(*place, code);
}

std::optional<std::string> Sysroot::read(const fs::path& path, std::size_t limit) const {
  auto place = on_disk(path);
  if (!place) return std::nullopt;
  UniqueFd fd(::open(place->c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  std::string text;
  while (text.size() < limit) {
    std::size_t had = text.size();
    text.resize(std::min(limit, had + (16 << 10)));
    auto bytes = std::as_writable_bytes(std::span(text.data() + had, text.size() - had));
    auto got = read_at(fd.get(), bytes, had, path.string());
    if (!got) return std::nullopt;
    bool at_end = *got < bytes.size();
    text.resize(had + *got);
    if (at_end) break;
  }
  return text;
}

std::vector<std::string> Sysroot::list(const fs::path& folder) const {
  std::vector<std::string> names;
  auto place = on_disk(folder);
  if (!place) return names;
  std::error_code code;
  for (fs::directory_iterator it(*place, code), end; !code && it != end && names.size() < kMaxNames;
       it.increment(code))
    names.push_back(it->path().filename().string());
  std::ranges::sort(names);
  return names;
}

}  // namespace kernels::machine
