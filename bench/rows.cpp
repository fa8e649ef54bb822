#include "rows.hpp"

#include <exception>
#include <memory>
#include <utility>

#include "databases.hpp"

namespace bench {
namespace {

Row* add_shared(const std::string& row, const Peer& peer, const Data& data, Shared::Open open,
                Work work) {
  auto shared = std::make_shared<Shared>(std::move(open));
  return add_row(row, peer, [=, work = std::move(work)](benchmark::State& state) {
    const std::shared_ptr<Database> database = shared->database();
    const std::unique_ptr<Session> session = database->session();
    work(state, *session, Documents::of(data));
  });
}

}  // namespace

Row* add_row(const std::string& row, const Peer& peer, Body body) {
  const std::string name = row + "/" + peer.name;
  return benchmark::RegisterBenchmark(name.c_str(),
                                      [body = std::move(body)](benchmark::State& state) {
                                        try {
                                          body(state);
                                        } catch (const std::exception& failure) {
                                          state.SkipWithError(failure.what());
                                        }
                                      })
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime()
      ->MeasureProcessCPUTime();
}

Row* add_reading_row(const std::string& row, const Peer& peer, const Data& data, Settings settings,
                     Work work) {
  const auto open = [=] {
    return peer.open(database_to_read(peer, Documents::of(data)), settings);
  };
  return add_shared(row, peer, data, open, std::move(work));
}

Row* add_writing_row(const std::string& row, const Peer& peer, const Data& data, Settings settings,
                     Work work) {
  const auto open = [=] {
    return peer.open(database_to_write(peer, Documents::of(data), row), settings);
  };
  return add_shared(row, peer, data, open, std::move(work));
}

}  // namespace bench
