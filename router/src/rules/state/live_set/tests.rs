//! Live sets by themselves: bounds, ends, intervals.

use super::*;

const START: Instant = Instant::from_secs(100);

fn touch(set: &LiveSet, operation: DynamicOperation, key: u32, now: Instant) -> bool {
    let touch = Touch { operation, key: &key.to_be_bytes(), timeout: Some(Duration::from_secs(10)), now };
    set.touch(&touch, || (None, fresh(&[])), |_| ()).is_some()
}

fn has(set: &LiveSet, key: u32, now: Instant) -> bool {
    set.with(&key.to_be_bytes(), now, |_| ()).is_some()
}

#[test]
fn an_element_ends_unless_it_is_prolonged() {
    let set = LiveSet::new(&[Type::Mark], 10);
    let at = |seconds| START + Duration::from_secs(seconds);
    assert!(touch(&set, DynamicOperation::Add, 1, at(0)));
    assert!(touch(&set, DynamicOperation::Add, 1, at(5)), "adding again finds it");
    assert!(has(&set, 1, at(9)));
    assert!(!has(&set, 1, at(10)), "and does not prolong it");
    assert!(touch(&set, DynamicOperation::Update, 1, at(20)));
    assert!(touch(&set, DynamicOperation::Update, 1, at(25)));
    assert!(has(&set, 1, at(34)));
    assert_eq!(set.elements(at(34))[0].expires_ms, Some(1000));
    assert!(!has(&set, 1, at(35)));
    assert!(set.elements(at(35)).is_empty());
}

#[test]
fn a_full_set_takes_no_more_until_elements_have_ended() {
    let set = LiveSet::new(&[Type::Mark], 40);
    for key in 0..40 {
        assert!(touch(&set, DynamicOperation::Add, key, START));
    }
    assert!(!touch(&set, DynamicOperation::Add, 40, START));
    assert_eq!(set.len(), 40);
    let later = START + Duration::from_secs(11);
    assert!(set.expire(later, usize::MAX) > 30);
    assert!(touch(&set, DynamicOperation::Add, 40, later));
    assert!(set.delete(&40_u32.to_be_bytes(), later));
    assert!(set.is_empty());
}

#[test]
fn commands_add_intervals_and_take_them_out() {
    let set = LiveSet::new(&[Type::Mark], 3);
    let range = |from: u32, to: u32| {
        ElementKey::Range(Value::from_slice(&from.to_be_bytes()), Value::from_slice(&to.to_be_bytes()))
    };
    let element = |key| Element { key, data: None, comment: None, timeout_ms: None, state: Vec::new() };
    assert_eq!(set.insert(&element(range(10, 20)), None, None, START), Inserted::New);
    assert_eq!(set.insert(&element(range(10, 20)), None, None, START), Inserted::Existing);
    assert_eq!(set.insert(&element(range(30, 40)), Some(1000), None, START), Inserted::New);
    assert_eq!(
        set.insert(&element(ElementKey::Value(Value::from_slice(&[0; 4]))), None, None, START),
        Inserted::New
    );
    assert_eq!(set.insert(&element(range(50, 60)), None, None, START), Inserted::Full);
    assert!(has(&set, 15, START) && has(&set, 35, START) && has(&set, 0, START) && !has(&set, 25, START));
    let later = START + Duration::from_secs(1);
    assert!(!has(&set, 35, later));
    assert!(set.remove(&range(10, 20), later));
    assert!(!has(&set, 15, later));
    assert_eq!(set.elements(later).len(), 1);
    set.clear();
    assert!(set.is_empty() && set.get(&range(30, 40), START).is_none());
}
