#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "kernels/base/error.h"

namespace kernels {

/// The name of a kernel repository on the Hub, `org/name`. Checked once, here; a RepoId is always a safe
/// folder name and a safe piece of a URL. Letter case is kept. Source  the Hub's naming rules, and those of
/// the shared cache: `--` and `/` separate its folder names.
class RepoId {
 public:
  /// Errors  invalid_argument, with the rule that the text breaks.
  static Result<RepoId> parse(std::string_view text);

  const std::string& str() const { return text_; }
  /// The part before the slash; for a name without one (legacy), the whole name.
  std::string publisher() const { return text_.substr(0, text_.find('/')); }
  /// The part after the slash.
  std::string name() const { return text_.substr(text_.find('/') + 1); }
  /// Folder of the repository in the shared cache: `kernels--org--name`.
  std::string folder() const;
  auto operator<=>(const RepoId&) const = default;

 private:
  explicit RepoId(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// A file's path inside a repository as the Hub names it: relative, `/` between segments. Checked once, when
/// it is made, so that no later step can be led outside a folder: no absolute path, no `..`, `.` or empty
/// segment, no backslash, drive letter or control character, at most 255 bytes a segment, 64 segments and
/// 4096 bytes.
class RepoPath {
 public:
  /// Errors  integrity, with the rule that the name breaks.
  static Result<RepoPath> parse(std::string_view text);

  const std::string& str() const { return text_; }
  std::string_view filename() const;
  /// How many folders are above the file.
  std::size_t depth() const;
  /// True for Python bytecode, which no build contains on purpose and no download takes: `*.pyc`,
  /// `__pycache__`.
  bool is_bytecode() const;
  auto operator<=>(const RepoPath&) const = default;

 private:
  explicit RepoPath(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// A commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
class Commit {
 public:
  /// Errors  invalid_argument: anything else. Capital letters are refused: the Hub takes those for a branch.
  static Result<Commit> parse(std::string_view text);

  const std::string& str() const { return text_; }
  std::string abbreviated() const { return text_.substr(0, 12); }
  auto operator<=>(const Commit&) const = default;

 private:
  explicit Commit(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// A branch, tag, `refs/…` name or commit as a person writes it; safe as a path below `refs/` of the cache.
/// Errors  invalid_argument.
Result<std::string> parse_revision(std::string_view text);

}  // namespace kernels
