#include "kernels/cache/verified.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <sys/stat.h>

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::cache;
using kernels::test::TempFolder;
namespace fs = std::filesystem;

namespace {

std::string content_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// A cache with one blob that was verified, and the signature of one variant.
struct Recorded {
  Recorded() {
    REQUIRE(write_file(layout.blob(repo, id), "content", Durable::no));
    auto record = VerifiedRecord::load(layout, repo);
    record.note(layout, repo, id);
    record.note(receipt);
    REQUIRE(record.save(layout, repo));
  }

  bool is_known(const Layout& where) const {
    auto record = VerifiedRecord::load(where, repo);
    auto stamp = file_stamp(where.blob(repo, id));
    return stamp && record.is_verified(id, *stamp);
  }
  bool is_known() const { return is_known(layout); }

  fs::path record() const { return layout.verified_record(repo); }

  TempFolder folder;
  Layout layout{folder / "cache", folder / "state"};
  RepoId repo = *RepoId::parse("acme/relu");
  BlobId id = *BlobId::parse(std::string(40, 'a'));
  Receipt receipt{.content = std::string(64, 'c'),
                  .rules = std::string(64, 'd'),
                  .verified_at = 1000,
                  .identity = "a signer\nof two lines"};
};

}  // namespace

TEST_CASE("receipts: what was verified is known in the next run, until it changes", "[cache]") {
  Recorded cache;
  CHECK(cache.is_known());
  auto record = VerifiedRecord::load(cache.layout, cache.repo);
  const auto* receipt = record.receipt(cache.receipt.content, cache.receipt.rules, 2000);
  REQUIRE(receipt != nullptr);
  CHECK(*receipt == cache.receipt);
  REQUIRE(write_file(cache.layout.blob(cache.repo, cache.id), "CONTENT", Durable::no));
  CHECK_FALSE(cache.is_known());
}

TEST_CASE("receipts: a signature counts for its content and its rules only", "[cache]") {
  Recorded cache;
  auto record = VerifiedRecord::load(cache.layout, cache.repo);
  CHECK(record.receipt(std::string(64, 'e'), cache.receipt.rules, 2000) == nullptr);
  CHECK(record.receipt(cache.receipt.content, std::string(64, 'e'), 2000) == nullptr);
}

TEST_CASE("attack 73: a receipt from the future counts for nothing", "[cache]") {
  Recorded cache;
  auto record = VerifiedRecord::load(cache.layout, cache.repo);
  CHECK(record.receipt(cache.receipt.content, cache.receipt.rules, 999) == nullptr);
  CHECK(record.receipt(cache.receipt.content, cache.receipt.rules, 1000) != nullptr);
}

TEST_CASE("attack 63: a receipt that was planted, changed or cut counts for nothing", "[cache]") {
  Recorded cache;
  auto good = content_of(cache.record());
  auto stands = [&](const std::string& text) {
    REQUIRE(write_file(cache.record(), text, Durable::no));
    return cache.is_known();
  };
  REQUIRE(stands(good));
  // The right lines without the key: unsealed, sealed with nothing, sealed with a key of one's own.
  auto lines = good.substr(0, good.rfind("seal "));
  CHECK_FALSE(stands(lines));
  CHECK_FALSE(stands(lines + "seal " + std::string(64, '0') + "\n"));
  CHECK_FALSE(stands("kernels-verified 1\n" + lines.substr(lines.find("blob ") + 5)));
  TempFolder other;
  Layout others(cache.folder / "cache", other / "state");
  auto forged = VerifiedRecord::load(others, cache.repo);
  forged.note(others, cache.repo, cache.id);
  REQUIRE(forged.save(others, cache.repo));
  CHECK(cache.is_known(others));
  CHECK_FALSE(cache.is_known());
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    INFO(at);
    CHECK_FALSE(stands(flipped));
    CHECK_FALSE(stands(good.substr(0, at)));
  }
  CHECK_FALSE(stands(good + "x"));
  CHECK_FALSE(stands(good + good));
  CHECK(stands(good));
}

TEST_CASE("attack 63: another repository's receipts count for nothing", "[cache]") {
  Recorded cache;
  auto other = *RepoId::parse("acme/gelu");
  fs::create_directories(cache.layout.blobs(other));
  fs::create_hard_link(cache.layout.blob(cache.repo, cache.id), cache.layout.blob(other, cache.id));
  fs::copy_file(cache.record(), cache.layout.verified_record(other));
  auto record = VerifiedRecord::load(cache.layout, other);
  CHECK_FALSE(record.is_verified(cache.id, *file_stamp(cache.layout.blob(other, cache.id))));
}

TEST_CASE("receipts: the key is this user's alone, outside the cache, and made anew if it is not",
          "[cache]") {
  Recorded cache;
  auto key = cache.layout.receipt_key();
  CHECK_FALSE(key.string().starts_with(cache.layout.root().string()));
  CHECK(fs::file_size(key) == 32);
  CHECK(fs::status(key).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
  auto first = content_of(key);
  fs::permissions(key, fs::perms::others_read, fs::perm_options::add);
  CHECK_FALSE(cache.is_known());
  auto record = VerifiedRecord::load(cache.layout, cache.repo);
  record.note(cache.layout, cache.repo, cache.id);
  REQUIRE(record.save(cache.layout, cache.repo));
  CHECK(cache.is_known());
  CHECK(content_of(key) != first);
}

TEST_CASE("receipts: without a place for the key nothing is remembered, and nothing fails", "[cache]") {
  Recorded cache;
  Layout without(cache.folder / "cache");
  CHECK_FALSE(cache.is_known(without));
  auto record = VerifiedRecord::load(without, cache.repo);
  record.note(without, cache.repo, cache.id);
  CHECK(record.save(without, cache.repo));
  // Another's record is left alone.
  CHECK(cache.is_known());
  Layout unwritable(cache.folder / "cache", "/proc/none");
  auto result = VerifiedRecord::load(unwritable, cache.repo).save(unwritable, cache.repo);
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == Errc::io);
}
