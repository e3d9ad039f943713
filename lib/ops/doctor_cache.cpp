#include <array>
#include <cstdio>

#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "kernels/base/file.h"

#include "doctor_parts.h"

namespace kernels::ops {

namespace fs = std::filesystem;

std::string file_system_name(std::uint64_t magic) {
  struct Name {
    std::uint64_t magic;
    const char* name;
  };
  // Source  statfs(2) and <linux/magic.h>.
  constexpr std::array kNames = {
      Name{.magic = 0xef53, .name = "ext4"},         Name{.magic = 0x58465342, .name = "xfs"},
      Name{.magic = 0x9123683e, .name = "btrfs"},    Name{.magic = 0x01021994, .name = "tmpfs"},
      Name{.magic = 0x858458f6, .name = "ramfs"},    Name{.magic = 0x794c7630, .name = "overlay"},
      Name{.magic = 0x6969, .name = "nfs"},          Name{.magic = 0xff534d42, .name = "cifs"},
      Name{.magic = 0xfe534d42, .name = "smb2"},     Name{.magic = 0x65735546, .name = "fuse"},
      Name{.magic = 0x2fc12fc1, .name = "zfs"},      Name{.magic = 0x0bd00bd0, .name = "lustre"},
      Name{.magic = 0x19830326, .name = "beegfs"},   Name{.magic = 0x47504653, .name = "gpfs"},
      Name{.magic = 0x00c36400, .name = "ceph"},     Name{.magic = 0x01021997, .name = "9p"},
      Name{.magic = 0x73717368, .name = "squashfs"}, Name{.magic = 0xe0f5e1e2, .name = "erofs"},
      Name{.magic = 0xf2f52010, .name = "f2fs"},     Name{.magic = 0xca451a4e, .name = "bcachefs"},
      Name{.magic = 0x2011bab0, .name = "exfat"},    Name{.magic = 0x4d44, .name = "vfat"},
      Name{.magic = 0x7366746e, .name = "ntfs3"},    Name{.magic = 0x6a656a63, .name = "virtiofs"},
      Name{.magic = 0x9660, .name = "iso9660"}};
  for (const auto& known : kNames)
    if (known.magic == magic) return known.name;
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(magic));
  return text.data();
}

namespace {

/// The folder itself, or the nearest one above it that exists.
fs::path nearest_existing(fs::path folder) {
  std::error_code code;
  folder = fs::absolute(folder, code);
  while (!fs::exists(folder, code) && folder.has_relative_path())
    folder = folder.parent_path();
  return folder;
}

/// A folder for the trial inside the cache. Removes it, and the folders above it that it had to make.
class TrialFolder {
 public:
  explicit TrialFolder(const fs::path& cache) {
    std::error_code code;
    auto absolute = fs::absolute(cache, code);
    for (auto at = absolute; !fs::exists(at, code) && at.has_relative_path(); at = at.parent_path())
      made_.push_back(at);
    path_ = absolute / (".kernels-doctor-" + random_suffix());
    if (auto status = make_folders(path_); !status) failure_ = describe(status.error());
  }
  TrialFolder(const TrialFolder&) = delete;
  TrialFolder& operator=(const TrialFolder&) = delete;
  ~TrialFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
    // A folder into which somebody else has put something meanwhile stays.
    for (const auto& folder : made_)
      fs::remove(folder, ignored);
  }
  const std::string& failure() const { return failure_; }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  std::vector<fs::path> made_;  // innermost first
  fs::path path_;
  std::string failure_;
};

Works works(bool does) {
  return does ? Works::yes : Works::no;
}

/// A lock works if it keeps out a second opening of the same file.
Works try_locks(const TrialFolder& trial) {
  auto [first, held] = FileLock::try_lock(trial / "lock");
  if (first != FileLock::Outcome::locked) return Works::no;
  auto [second, none] = FileLock::try_lock(trial / "lock");
  return works(second == FileLock::Outcome::held_by_another);
}

bool reads_as(const fs::path& file, const std::string& content) {
  auto text = read_file(file, 1024);
  return text && *text == content;
}

void try_folder(const TrialFolder& trial, CacheReport& report) {
  auto written = write_file(trial / "file", "content", Durable::no);
  report.writable = works(written.has_value());
  if (!written) {
    report.failure = describe(written.error());
    return;
  }
  std::error_code code;
  report.locks = try_locks(trial);
  fs::create_symlink("file", trial / "link", code);
  report.symlinks = works(!code && reads_as(trial / "link", "content"));
  fs::create_hard_link(trial / "file", trial / "second", code);
  report.hard_links = works(!code && reads_as(trial / "second", "content"));
  auto other = write_file(trial / "other", "newer", Durable::no);
  auto renamed = other ? rename_path(trial / "other", trial / "file") : other;
  report.renames = works(renamed && reads_as(trial / "file", "newer"));
}

}  // namespace

CacheReport try_cache(const hub::Settings& settings) {
  CacheReport report{.folder = settings.cache, .source = settings.cache_source};
  std::error_code code;
  report.exists = fs::is_directory(settings.cache, code);
  auto there = nearest_existing(settings.cache);
  struct statfs type{};
  if (::statfs(there.c_str(), &type) == 0)
    report.file_system = file_system_name(static_cast<std::uint64_t>(type.f_type) & 0xffffffffU);
  struct statvfs space{};
  if (::statvfs(there.c_str(), &space) == 0)
    report.free_bytes = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  TrialFolder trial(settings.cache);
  if (trial.failure().empty()) {
    try_folder(trial, report);
  } else {
    report.writable = Works::no;
    report.failure = trial.failure();
  }
  return report;
}

std::vector<Finding> cache_findings(const CacheReport& cache) {
  constexpr std::uint64_t kLittle = 1ULL << 30U;
  std::vector<Finding> out;
  auto add = [&](Severity severity, std::string what, std::string fix) {
    out.push_back({.severity = severity, .what = std::move(what), .fix = std::move(fix)});
  };
  auto name = "the cache `" + cache.folder.string() + "`";
  if (cache.writable == Works::no)
    add(Severity::problem, name + " cannot be written: " + cache.failure,
        "make the folder writable, or choose another one with `HF_HUB_CACHE`");
  if (cache.renames == Works::no)
    add(Severity::problem, "files in " + name + " cannot be replaced by renaming",
        "choose a folder on another file system with `HF_HUB_CACHE`");
  if (cache.symlinks == Works::no)
    add(Severity::problem, "symbolic links do not work in " + name,
        "choose a folder on another file system with `HF_HUB_CACHE`");
  if (cache.locks == Works::no)
    add(Severity::note, "locks do not work in " + name + ": processes may fetch the same file twice",
        "nothing is damaged by it; a file system on this machine avoids it");
  if (cache.free_bytes && *cache.free_bytes < kLittle)
    add(Severity::note, "less than 1 GiB is free for " + name,
        "free some space, or choose another folder with `HF_HUB_CACHE`");
  return out;
}

}  // namespace kernels::ops
