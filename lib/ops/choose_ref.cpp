#include "choose_ref.h"

#include <algorithm>

#include "kernels/base/joined.h"

namespace kernels::ops {

std::string list_names(const std::vector<std::string>& names) {
  return names.empty() ? "none" : joined(names);
}

Result<Chosen> choose_version(const RepoId& repo, std::uint64_t number, const RepositoryRefs& refs) {
  std::vector<std::uint64_t> numbers;
  for (const auto& branch : refs.branches) {
    auto found = version_branch_number(branch.name);
    if (found == number) return Chosen{.commit = branch.commit, .ref = branch.name, .is_tag = false};
    if (found) numbers.push_back(*found);
  }
  std::ranges::sort(numbers);
  std::vector<std::string> names;
  for (auto existing : numbers)
    names.push_back(std::to_string(existing));
  return fail(Error(Errc::not_found, "`" + repo.str() + "` has no version " + std::to_string(number))
                  .with_hint("available versions: " + list_names(names)));
}

Result<Chosen> choose_tag(const RepoId& repo, const SpecifierSet& set, const RepositoryRefs& refs) {
  std::vector<Pep440Version> versions;
  std::vector<const GitRef*> tags;
  std::vector<std::string> names;
  for (const auto& tag : refs.tags) {
    if (!tag.name.starts_with('v')) continue;
    auto version = Pep440Version::parse(std::string_view(tag.name).substr(1));
    if (!version) continue;
    versions.push_back(std::move(*version));
    tags.push_back(&tag);
    names.push_back(tag.name);
  }
  if (auto best = set.choose(versions))
    return Chosen{.commit = tags[*best]->commit, .ref = tags[*best]->name, .is_tag = true};
  return fail(Error(Errc::not_found, "no tag of `" + repo.str() + "` satisfies `" + set.str() + "`")
                  .with_hint("available tags: " + list_names(names)));
}

}  // namespace kernels::ops
