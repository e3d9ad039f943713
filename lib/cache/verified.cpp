#include "kernels/cache/verified.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <string_view>

namespace kernels::cache {

static constexpr const char* kHeader = "kernels-verified 1";

// By hand, because a stream for each line was a good part of a download that has nothing to do.
static std::string_view next_field(std::string_view& rest, char end) {
  auto field = rest.substr(0, rest.find(end));
  rest.remove_prefix(std::min(field.size() + 1, rest.size()));
  return field;
}

template <class Number>
static bool read_number(std::string_view& rest, Number& value) {
  auto field = next_field(rest, ' ');
  auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), value);
  return code == std::errc() && end == field.data() + field.size();
}

VerifiedRecord VerifiedRecord::load(const Layout& layout, const RepoId& repo) {
  VerifiedRecord record;
  auto text = read_file(layout.verified_record(repo));
  if (!text) return record;
  std::string_view rest = *text;
  if (next_field(rest, '\n') != kHeader) return record;
  while (!rest.empty()) {
    auto line = next_field(rest, '\n');
    auto id = next_field(line, ' ');
    FileStamp stamp;
    bool good = read_number(line, stamp.size) && read_number(line, stamp.modified_ns) &&
                read_number(line, stamp.changed_ns) && read_number(line, stamp.inode);
    if (good && BlobId::parse(id)) record.stamps_.emplace(id, stamp);
  }
  return record;
}

bool VerifiedRecord::is_verified(const BlobId& id, const FileStamp& now) const {
  auto found = stamps_.find(id.str());
  return found != stamps_.end() && found->second == now;
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
