// TS_VERIFY_CTX_set_* take ownership of what they are given; OpenSSL 3.4 gave them other names and kept
// these.
#define OPENSSL_SUPPRESS_DEPRECATED

#include <algorithm>
#include <array>
#include <ctime>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "timestamp_impl.h"

namespace kernels::verify {

namespace {

using ResponseHandle = std::unique_ptr<TS_RESP, Release<TS_RESP_free>>;
using ContextHandle = std::unique_ptr<TS_VERIFY_CTX, Release<TS_VERIFY_CTX_free>>;

ResponseHandle parse_response(const Bytes& der) {
  ERR_clear_error();
  const auto* at = data_of(der);
  ResponseHandle response(d2i_TS_RESP(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  return at == data_of(der) + der.size() ? std::move(response) : nullptr;
}

bool is_granted(TS_RESP* response) {
  const auto* status = TS_STATUS_INFO_get0_status(TS_RESP_get_status_info(response));
  return ASN1_INTEGER_get(status) == TS_STATUS_GRANTED && TS_RESP_get_tst_info(response) != nullptr;
}

bool hashes_well(TS_RESP* response) {
  auto* imprint = TS_TST_INFO_get_msg_imprint(TS_RESP_get_tst_info(response));
  const ASN1_OBJECT* name = nullptr;
  X509_ALGOR_get0(&name, nullptr, nullptr, TS_MSG_IMPRINT_get_algo(imprint));
  constexpr std::array kGood = {NID_sha256, NID_sha384, NID_sha512};
  return std::ranges::find(kGood, OBJ_obj2nid(name)) != kGood.end();
}

std::optional<Milliseconds> stated_time(TS_RESP* response) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(TS_TST_INFO_get_time(TS_RESP_get_tst_info(response)), &parts) != 1) return std::nullopt;
  return static_cast<Milliseconds>(::timegm(&parts)) * 1000;
}

/// The authority's anchor is all that the store holds; what it needs in between comes from the trusted root.
ContextHandle make_context(const Authority& authority, const Bytes& signature, Milliseconds time) {
  auto chain = parse_certificates(authority.chain);
  ContextHandle context(TS_VERIFY_CTX_new());
  StoreHandle store(X509_STORE_new());
  if (!chain || !context || !store) return nullptr;
  // An authority of a single certificate is its own anchor, and its signer too.
  auto* anchor = sk_X509_value(chain->get(), sk_X509_num(chain->get()) - 1);
  if (X509_STORE_add_cert(store.get(), anchor) != 1) return nullptr;
  auto* param = X509_STORE_get0_param(store.get());
  X509_VERIFY_PARAM_set_time(param, time / 1000);
  X509_VERIFY_PARAM_set_auth_level(param, 2);
  TS_VERIFY_CTX_set_flags(context.get(), TS_VFY_VERSION | TS_VFY_SIGNATURE | TS_VFY_DATA);
  TS_VERIFY_CTX_set_store(context.get(), store.release());
  TS_VERIFY_CTS_set_certs(context.get(), chain->release());
  TS_VERIFY_CTX_set_data(context.get(),
                         BIO_new_mem_buf(signature.data(), static_cast<int>(signature.size())));
  return context;
}

bool is_signer(TS_RESP* response, const Bytes& expected) {
  auto signer = parse_certificate(expected);
  auto* candidates = sk_X509_new_null();
  sk_X509_push(candidates, signer->get());
  // With this flag only the given certificates are looked at, not those that the token carries.
  auto* found = PKCS7_get0_signers(TS_RESP_get_token(response), candidates, PKCS7_NOINTERN);
  bool good =
      found != nullptr && sk_X509_num(found) == 1 && X509_cmp(sk_X509_value(found, 0), signer->get()) == 0;
  sk_X509_free(found);
  sk_X509_free(candidates);
  ERR_clear_error();
  return good;
}

bool vouches(const Authority& authority, TS_RESP* response, const Bytes& signature, Milliseconds time) {
  auto context = make_context(authority, signature, time);
  bool good = context && TS_RESP_verify_response(context.get(), response) == 1;
  ERR_clear_error();
  return good && is_signer(response, authority.chain.front());
}

}  // namespace

TimestampResult check_timestamp(const Bytes& der, const Bytes& signature, const TrustedRoot& root) {
  auto response = parse_response(der);
  if (!response) return {.is_readable = false, .time = {}, .reason = "a timestamp is not DER of RFC 3161"};
  auto refused = [](std::string reason) {
    return TimestampResult{.is_readable = true, .time = {}, .reason = std::move(reason)};
  };
  if (!is_granted(response.get())) return refused("the timestamp was not granted");
  if (!hashes_well(response.get())) return refused("the timestamp is over a hash that is not SHA-2");
  auto time = stated_time(response.get());
  if (!time) return refused("the timestamp states no time");
  for (const auto& authority : root.timestamp_authorities)
    if (authority.validity.holds(*time) && vouches(authority, response.get(), signature, *time))
      return {.is_readable = true, .time = time, .reason = {}};
  return refused("no trusted authority vouches for the timestamp, or not for this signature");
}

}  // namespace kernels::verify
