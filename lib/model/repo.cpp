#include "kernels/model/repo.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <optional>

#include "kernels/base/hash.h"

namespace kernels {

namespace {

std::unexpected<Error> bad_repo(std::string_view text, const std::string& why) {
  return fail(Error(Errc::invalid_argument, "`" + std::string(text) + "` is not a repository name: " + why)
                  .with_hint("write it as `organisation/name`, for example `kernels-community/activation`"));
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-';
}

bool is_bad_edge(char c) {
  return c == '-' || c == '.';
}

std::optional<std::string> complaint_about_part(std::string_view part) {
  if (part.empty()) return "a part of it is empty";
  if (!std::ranges::all_of(part, is_name_character))
    return "only letters, digits, `_`, `.` and `-` are allowed";
  if (is_bad_edge(part.front()) || is_bad_edge(part.back())) return "a part begins or ends with `-` or `.`";
  return std::nullopt;
}

std::unexpected<Error> bad_path(std::string_view text, const std::string& why) {
  return fail(
      Error(Errc::integrity, "the Hub names a file `" + std::string(text.substr(0, 200)) + "`: " + why)
          .with_hint("such a name could lead outside the cache; report it to the publisher"));
}

std::optional<std::string> complaint_about_segment(std::string_view segment) {
  if (segment.empty()) return "a segment is empty";
  if (segment == "." || segment == "..") return "`" + std::string(segment) + "` is not allowed";
  if (segment.size() > 255) return "a segment is longer than 255 bytes";
  if (segment.size() >= 2 && segment[1] == ':' && std::isalpha(static_cast<unsigned char>(segment[0])) != 0)
    return "a drive letter is not allowed";
  return std::nullopt;
}

}  // namespace

Result<RepoId> RepoId::parse(std::string_view text) {
  if (text.empty()) return bad_repo(text, "it is empty");
  auto slash = text.find('/');
  if (slash != std::string_view::npos) {
    if (text.find('/', slash + 1) != std::string_view::npos) return bad_repo(text, "more than one `/`");
    if (auto why = complaint_about_part(text.substr(0, slash))) return bad_repo(text, *why);
  }
  auto name = slash == std::string_view::npos ? text : text.substr(slash + 1);
  if (auto why = complaint_about_part(name)) return bad_repo(text, *why);
  if (name.size() > 96 || text.size() > 200) return bad_repo(text, "longer than 96 characters");
  if (name.ends_with(".git")) return bad_repo(text, "it ends in `.git`");
  if (text.find("--") != std::string_view::npos) return bad_repo(text, "`--` is not allowed");
  if (text.find("..") != std::string_view::npos) return bad_repo(text, "`..` is not allowed");
  return RepoId(std::string(text));
}

std::string RepoId::folder() const {
  auto slash = text_.find('/');
  if (slash == std::string::npos) return "kernels--" + text_;
  return "kernels--" + text_.substr(0, slash) + "--" + text_.substr(slash + 1);
}

Result<RepoPath> RepoPath::parse(std::string_view text) {
  if (text.empty()) return bad_path(text, "the name is empty");
  if (text.size() > 4096) return bad_path(text, "longer than 4096 bytes");
  auto is_refused = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\'; };
  if (std::ranges::any_of(text, is_refused))
    return bad_path(text, "backslashes and control characters are not allowed");
  if (std::ranges::count(text, '/') >= 64) return bad_path(text, "deeper than 64 folders");
  for (std::size_t begin = 0; begin <= text.size();) {
    auto end = std::min(text.find('/', begin), text.size());
    if (auto why = complaint_about_segment(text.substr(begin, end - begin))) return bad_path(text, *why);
    begin = end + 1;
  }
  return RepoPath(std::string(text));
}

std::string_view RepoPath::filename() const {
  std::string_view text = text_;
  auto slash = text.rfind('/');
  return slash == std::string_view::npos ? text : text.substr(slash + 1);
}

std::size_t RepoPath::depth() const {
  return static_cast<std::size_t>(std::ranges::count(text_, '/'));
}

bool RepoPath::is_bytecode() const {
  return text_.ends_with(".pyc") || ("/" + text_ + "/").find("/__pycache__/") != std::string::npos;
}

Result<Commit> Commit::parse(std::string_view text) {
  if (!is_lower_hex(text, 40) && !is_lower_hex(text, 64))
    return fail(Errc::invalid_argument, "`" + std::string(text.substr(0, 80)) +
                                            "` is not a commit: 40 or 64 lower-case hexadecimal digits");
  return Commit(std::string(text));
}

Result<std::string> parse_revision(std::string_view text) {
  auto path = RepoPath::parse(text);
  bool odd = text.find_first_of(" ~^:?*[\x7f") != std::string_view::npos || text.ends_with(".lock") ||
             text.find("..") != std::string_view::npos || text.starts_with("-");
  if (!path || odd)
    return fail(Error(Errc::invalid_argument, "`" + std::string(text.substr(0, 80)) + "` is not a revision")
                    .with_hint("write a branch, a tag or a commit of 40 hexadecimal digits"));
  return std::string(text);
}

}  // namespace kernels
