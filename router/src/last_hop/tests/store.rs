//! The store of last hops when it gets crowded.

use super::*;

#[test]
fn numbers_fit_their_word_and_come_back_late() {
    let mut first = LAST_HOPS_MAX;
    for _ in 1..STRETCHES {
        assert!(first != 0 && u64::from(first) + u64::from(LAST_HOPS_MAX) <= 1 << CameBy::NUMBER_BITS);
        first = stretch_after(first);
    }
    assert_eq!(first, LAST_HOPS_MAX);
}

#[test]
fn a_crowded_store_is_cleared_of_what_no_flow_remembers() {
    let mut table = answering_table();
    let hops = table.shared().last_hops.clone();
    for number in 0..100_u32 {
        let [.., high, low] = number.to_be_bytes();
        // Each flow comes by all of them in turn, and remembers the last.
        ask(&mut table, Mac([2, 0, 0, 4, high, low]));
    }
    ask(&mut table, COMES_BY);
    assert_eq!(answered(&mut table), [COMES_BY]);
    assert_eq!(rows(&table).len(), 101);
    hops.renew(&table.shared().flows, table.now());
    let left: Vec<_> = rows(&table).iter().map(|row| row.source).collect();
    assert_eq!(left, [COMES_BY]);
    assert_eq!(answered(&mut table), [COMES_BY], "flows notice nothing");
    ask(&mut table, COMES_BY);
    assert_eq!(table.counters().last_hop_learned.get(), 101);
    let stations = |hops: &LastHops| hops.directory.lock().find(PortId(1), Mac([2, 0, 0, 4, 0, 7])).is_some();
    assert!(!stations(&hops), "and nobody holds the others");
}

#[test]
fn a_worker_that_still_has_the_old_numbers_finds_what_they_mean() {
    let mut table = answering_table();
    ask(&mut table, COMES_BY);
    let hops = &table.shared().last_hops;
    let number = rows(&table)[0].number;
    let old = hops.present.load_full();
    // As in the middle of the change: the flow has not been moved over yet.
    hops.past.store(Some(old));
    hops.present.store(Arc::new(Interned::new(stretch_after(LAST_HOPS_MAX), LAST_HOPS_MAX)));
    assert_eq!(hops.with(CameBy::new(number), |record| record.source.mac), Some(COMES_BY));
    assert_eq!(answered(&mut table), [COMES_BY]);
}
