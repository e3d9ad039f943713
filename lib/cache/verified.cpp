#include "kernels/cache/verified.h"

#include <sstream>

namespace kernels::cache {

static constexpr const char* kHeader = "kernels-verified 1";

VerifiedRecord VerifiedRecord::load(const Layout& layout, const RepoId& repo) {
  VerifiedRecord record;
  auto text = read_file(layout.verified_record(repo));
  if (!text) return record;
  std::istringstream lines(*text);
  std::string line;
  if (!std::getline(lines, line) || line != kHeader) return record;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string id;
    FileStamp stamp;
    fields >> id >> stamp.size >> stamp.modified_ns >> stamp.changed_ns >> stamp.inode;
    if (fields && BlobId::parse(id)) record.stamps_.emplace(std::move(id), stamp);
  }
  return record;
}

bool VerifiedRecord::is_verified(const Layout& layout, const RepoId& repo, const BlobId& id,
                                 std::uint64_t size) const {
  auto found = stamps_.find(id.str());
  if (found == stamps_.end() || found->second.size != size) return false;
  return file_stamp(layout.blob(repo, id)) == found->second;
}

void VerifiedRecord::note(const Layout& layout, const RepoId& repo, const BlobId& id) {
  auto stamp = file_stamp(layout.blob(repo, id));
  if (!stamp) return;
  stamps_[id.str()] = *stamp;
  changed_ = true;
}

Status VerifiedRecord::save(const Layout& layout, const RepoId& repo) const {
  std::ostringstream out;
  out << kHeader << '\n';
  for (const auto& [id, stamp] : stamps_)
    out << id << ' ' << stamp.size << ' ' << stamp.modified_ns << ' ' << stamp.changed_ns << ' '
        << stamp.inode << '\n';
  return write_file(layout.verified_record(repo), out.str(), Durable::no);
}

}  // namespace kernels::cache
