//! The SDK in a real browser, against a socket and a clock that the tests hold in their hands.
//!
//! What happens in a page is best said in the page's language: each test is a function of the same name
//! in `browser/*.js`, and fails if that throws. `wasm-pack test --headless --chrome` runs them.
#![cfg(target_arch = "wasm32")]

// Its functions are what the tests drive, through `js/here.js`.
extern crate whoshere;

use wasm_bindgen_test::wasm_bindgen_test_configure;

wasm_bindgen_test_configure!(run_in_browser);

mod js {
    use js_sys::Promise;
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(raw_module = "./tests/browser/run.js")]
    extern "C" {
        pub(super) fn run(group: &str, name: &str) -> Promise;
    }
}

macro_rules! tests {
    ($($group:ident { $($name:ident)* })*) => {$(
        mod $group {
            use wasm_bindgen::prelude::JsValue;
            use wasm_bindgen_futures::JsFuture;
            use wasm_bindgen_test::wasm_bindgen_test;

            $(
                #[wasm_bindgen_test]
                async fn $name() -> Result<(), JsValue> {
                    let run = crate::js::run(stringify!($group), stringify!($name));
                    JsFuture::from(run).await.map(drop)
                }
            )*
        }
    )*};
}

tests! {
    bar {
        it_says_that_it_connects_before_anything_is_known
        members_are_dots_from_the_oldest_on
        who_stays_is_never_made_anew_nor_moved
        nothing_is_touched_when_nothing_changed
        only_who_enters_fades_in_and_only_once
        who_reconnects_is_dimmed_on_the_same_node
        a_name_is_text_and_nothing_else
        a_color_reaches_the_style_as_a_property
        the_rest_is_behind_a_button
        the_list_of_the_rest_is_closed_by_escape_and_by_pressing_elsewhere
        the_list_of_the_rest_keeps_up_while_it_is_open
        a_bar_is_stale_once_the_grace_is_over
        a_bar_that_is_taken_away_leaves_nothing_behind
        a_blur_handler_that_calls_back_breaks_nothing
        a_blur_handler_may_call_back_while_what_has_the_focus_is_taken_away
        a_bar_and_a_flash_speak_the_language_of_the_page
        a_picture_is_shown_until_it_fails
        the_ink_can_be_read_on_every_color
    }
    flashes {
        the_area_is_a_polite_live_region_from_the_start
        none_stays_when_the_key_is_refused
        joined_and_left_are_shown_for_four_seconds
        a_reload_withdraws_its_left
        who_was_here_first_is_not_announced
        an_area_may_call_another_connection_when_its_own_has_ended
        an_area_that_is_taken_away_is_as_it_was
        what_the_page_says_of_its_area_stays
        several_in_one_second_are_one_sentence_on_one_node
        each_sentence_is_said_once_when_it_is_certain
        all_who_tell_of_somebody_tell_the_same_however_long_one_takes
        a_flash_stays_while_somebody_points_at_it_or_has_the_focus_in_it
        a_flash_that_is_withdrawn_under_the_pointer_holds_nothing
        flashes_can_be_switched_off_by_kind_and_by_number
        a_page_can_show_flashes_its_own_way
        a_listener_that_leaves_or_throws_breaks_nothing
        who_stops_or_leaves_within_a_listener_hears_nothing_more
        a_leave_that_is_not_said_before_a_loss_is_not_said_after_it
        options_of_flashes_that_are_wrong_are_refused
        sentences_are_those_of_the_language
        another_language_begins_with_the_next_sentence_and_forgets_nothing
    }
    events {
        ready_waits_for_the_first_snapshot
        ready_is_rejected_when_the_key_is_refused
        members_keep_their_identity_until_they_change
        events_are_about_the_very_members_that_are_or_were_in_the_list
        members_and_metas_cannot_be_changed
        metas_of_several_tabs_are_merged_newest_first
        proto_is_a_user_and_a_field_like_any_other
        each_event_comes_with_its_parts
        a_listener_that_is_ended_is_not_called_even_from_within
        a_listener_that_is_added_from_within_hears_the_next
        all_hear_an_event_before_anybody_hears_the_next
        a_listener_that_throws_keeps_nobody_from_hearing
        a_listener_of_any_event_may_leave
        an_error_that_nobody_listens_to_is_a_warning
        without_dedupe_each_tab_is_a_member
        self_is_the_reader
        an_avatar_is_an_address_or_null
        an_info_is_an_object_or_null
    }
    updates {
        a_patch_is_merged_and_null_removes
        the_whole_meta_is_sent_again_after_a_loss
        updates_are_sent_at_most_twenty_times_a_second
        a_patch_that_is_no_meta_changes_nothing
        what_is_no_json_is_refused
        a_listener_may_update
    }
    pulses {
        a_pulse_is_sent_as_json_and_ended_by_null
        what_is_no_pulse_is_refused
        nothing_is_sent_alone_or_behind_other_tabs
        a_pulse_is_heard_once_until_it_changes_or_ends
        a_pulse_that_is_no_json_costs_no_more_than_itself
        a_pulse_ends_with_its_session_its_silence_and_the_connection
        what_holds_is_sent_again_after_a_loss
    }
    options {
        an_option_that_is_unknown_is_named
        what_is_missing_or_of_the_wrong_type_is_named
        how_long_until_away_is_checked
        the_url_may_be_written_in_many_ways
        a_url_that_cannot_be_a_relays_is_refused
        the_key_is_filled_in
        a_param_that_is_missing_or_empty_is_named
        a_key_that_is_none_is_refused
        a_meta_that_is_none_is_refused
        a_target_that_is_not_there_is_refused
        every_error_is_a_presence_error
    }
    messages {
        english_is_spoken_unless_told_otherwise
        what_a_table_lacks_is_english
        a_table_that_is_wrong_is_an_error_that_names_the_entry
        every_locale_has_every_entry_and_all_its_plurals
        plurals_and_lists_are_those_of_the_language
    }
    tokens {
        a_text_is_used_as_it_is
        a_function_may_be_plain_or_async
        a_function_that_throws_is_called_again
        what_is_no_token_is_an_error
        a_function_that_hangs_is_given_up
        an_answer_that_comes_too_late_means_nothing
        an_expired_token_is_fetched_anew
        a_page_that_is_somebody_else_brings_another_token_and_stays_live
        a_token_is_renewed_before_it_expires
        a_denied_token_stops
    }
    sockets {
        a_socket_is_opened_with_the_subprotocol
        a_socket_that_cannot_be_opened_is_tried_again
        what_is_no_frame_makes_it_dial_again
        a_fault_while_something_is_done_keeps_nothing_else_from_being_done
        a_loss_shows_nothing_and_is_resumed
        a_former_socket_is_not_listened_to
        leaving_tells_the_relay_and_takes_everything_away
        one_socket_serves_several_keys
        another_token_means_another_socket
        one_key_that_is_opened_twice_is_left_once
        a_key_cannot_be_opened_with_both_kinds_of_dedupe
        a_stopped_connection_is_begun_anew_by_the_next_connect
    }
    page {
        a_page_that_is_hidden_leaves_at_once
        a_page_that_is_closed_while_disconnected_sends_a_beacon
        a_page_from_the_back_forward_cache_joins_again
        a_page_that_is_only_shown_does_nothing
        a_network_that_is_back_is_used_at_once
        a_tab_that_is_looked_at_again_dials_at_once
        a_tab_that_is_hidden_stays
        a_tab_that_is_hidden_is_away_until_it_is_shown
        who_touches_nothing_is_away_until_the_next_touch
        a_page_that_doesnt_want_to_be_away_never_is
        a_page_that_is_prerendered_waits
        time_asleep_counts
        a_bar_is_stale_after_a_sleep
        after_leaving_nothing_listens_any_more
    }
}
